"""Free TCP ports, and who listens on them."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path
from urllib.parse import urlsplit

# Below the range that Linux gives to outgoing connections, so that none of them takes a port
# between the moment it was found free and the moment its server listens.
_RANGE = range(20_000, 32_000)
# Test runs beside each other (pytest-xdist) take every fourth port each, so that none of them takes
# one that another has found free just now.
_RUN = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OURS = _RANGE[_RUN % 4 :: 4]
_LISTEN = "0A"  # the state, as the kernel writes it
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on; never the same one twice in a process."""
    while True:
        port = random.choice(_OURS)
        if port in _given:
            continue
        with socket.socket() as probe:
            # As servers do: without it, a connection that just ended would make the port look used.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def listening(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listeners(port: int) -> int:
    """How many sockets listen on a port of IPv4: workers that share one have a socket each."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(f":{port:04X}") and row[3] == _LISTEN for row in rows)


def at_port(url: str, port: int) -> str:
    """The URL with another port of 127.0.0.1, behind which the same server is reached."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()
