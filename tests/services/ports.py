"""Free TCP ports."""

from __future__ import annotations

import os
import random
import socket

# Below the range that Linux gives to outgoing connections, so that none of them takes a port
# between the moment it was found free and the moment its server listens.
_RANGE = range(20_000, 32_000)
# Test runs beside each other (pytest-xdist) take every fourth port each, so that none of them takes
# one that another has found free just now.
_RUN = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OURS = _RANGE[_RUN % 4 :: 4]
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
