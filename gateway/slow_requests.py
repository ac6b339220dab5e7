"""Requests that arrive too slowly: Sanic alone waits as long as a byte comes now and then."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.sanic_internals import Server, arriving_request, time_out


class SlowRequests:
    """Looks at the connections from time to time, so that a request in good time costs nothing.

    A request has ``seconds`` for its head, and again for its body.
    """

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._marks: dict[Any, tuple[object, float]] = {}

    async def watch(self) -> None:
        """Keep looking."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._seconds / 4)
            self._look(now())

    def _look(self, now: float) -> None:
        marks: dict[Any, tuple[object, float]] = {}
        for connection in self._server.connections:
            mark = arriving_request(connection)
            if mark is None:
                continue
            before = self._marks.get(connection)
            since = before[1] if before is not None and before[0] == mark else now
            if now - since >= self._seconds * 2:
                connection.abort()  # it was told, and goes on dripping
            elif now - since >= self._seconds:
                time_out(connection)
            marks[connection] = (mark, since)
        self._marks = marks
