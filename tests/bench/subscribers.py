"""Subscribers of a stream that cost so little that they are not what is measured.

They read when a millisecond's worth of data has come together, and count one byte that each event
has exactly once and nothing else has.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

MARK = b"Z"
PAUSE_SECONDS = 0.001
READ_BYTES = 256 * 1024


class Subscribers:
    """``count`` open streams of ``path``."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self.deliveries = 0
        self._buffer = bytearray(READ_BYTES)
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            client = open_stream(port, path)
            self._sockets[client.fileno()] = client
            self._poll.register(client.fileno(), select.EPOLLIN)
        answered: set[int] = set()
        self._until(lambda: len(answered) == count, answered)
        self.deliveries = 0

    def wait_for(self, deliveries: int) -> None:
        """Read until so many events have arrived, counted over all streams."""
        self._until(lambda: self.deliveries >= deliveries, set())

    def close(self) -> None:
        """Leave."""
        for client in self._sockets.values():
            client.close()
        self._poll.close()

    def _until(self, done: Callable[[], bool], heard: set[int], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        view = memoryview(self._buffer)
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {self.deliveries} events came, on {len(heard)} streams")
            for number, _ in self._poll.poll(1, maxevents=len(self._sockets)):
                size = self._sockets[number].recv_into(view)
                if size == 0:
                    raise ConnectionResetError("a stream was closed")
                self.deliveries += self._buffer.count(MARK, 0, size)
                heard.add(number)
            time.sleep(PAUSE_SECONDS)


def open_stream(port: int, path: str) -> socket.socket:
    """A connection on which a stream was asked for; it does not block."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    client.setblocking(False)  # noqa: FBT003 -- as the library has it
    return client
