"""Posts one request again and again: all at once, or each after the answer to the one before.

It is a process of its own, so that it waits for no thread that reads streams.
"""

from __future__ import annotations

import socket
import sys

AT_ONCE, IN_TURN = "at once", "in turn"


def post(port: int, how: str, count: int, request: bytes) -> None:
    """Connect, say ``ready``, and post on each connection when the input ends."""
    posts = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    print("ready", flush=True)  # noqa: T201
    sys.stdin.read()
    if how == AT_ONCE:
        for connection in posts:
            connection.sendall(request)
    for connection in posts:
        if how == IN_TURN:
            connection.sendall(request)
        answer = connection.recv(4096)
        if not answer.startswith(b"HTTP/1.1 20"):
            sys.exit(f"a post was refused: {answer[:200]!r}")


if __name__ == "__main__":
    post(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4].encode("latin-1"))
