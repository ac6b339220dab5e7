"""Requests that arrive too slowly: Sanic alone waits as long as a byte comes now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from sanic.exceptions import RequestTimeout
from sanic.http import Stage


class SlowRequests:
    """Looks at the connections from time to time, so that a request in good time costs nothing.

    ``connections`` are Sanic's; a request has ``seconds`` for its head, and again for its body.
    """

    def __init__(self, connections: Iterable[Any], seconds: float) -> None:
        self._connections = connections
        self._seconds = seconds
        self._seen: dict[Any, tuple[object, float]] = {}

    async def watch(self) -> None:
        """Keep looking."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._seconds / 4)
            self._look(now())

    def _look(self, now: float) -> None:
        seen: dict[Any, tuple[object, float]] = {}
        for connection in tuple(self._connections):
            mark = _arriving(connection)
            if mark is None:
                continue
            before = self._seen.get(connection)
            since = before[1] if before is not None and before[0] == mark else now
            if now - since >= self._seconds * 2:
                connection.abort()  # it was told, and goes on dripping
            elif now - since >= self._seconds and connection._task is not None:  # noqa: SLF001 -- as Sanic's own timeouts do
                _tell(connection)
            seen[connection] = (mark, since)
        self._seen = seen


def _arriving(connection: Any) -> object:
    """Which request is on its way; None if there is none."""
    http = connection.http
    if http is None or not (http.stage is Stage.REQUEST or http.request_body):
        return None
    return connection.state["requests_count"], bool(http.request_body)


def _tell(connection: Any) -> None:
    if connection.http.stage in {Stage.REQUEST, Stage.HANDLER}:
        connection.http.exception = RequestTimeout("the request did not arrive in time")
        connection._task.cancel()  # noqa: SLF001 -- as Sanic's own timeouts do
