"""``GET /events``: what happened, then what happens, with no gap and no duplicate in between."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.cors import Cors
from gateway.history import History, Start, Tasks, tasks_of
from gateway.sanic_internals import Handover
from gateway.services import Services
from gateway.streams import sse
from gateway.streams.stream import HEAD, Stream, take_over

logger = logging.getLogger(__name__)


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    endpoint.add(app, "GET", "/events", Events(services).stream, need=Need.STREAM)


class Events:
    """The handler of the streams."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._hub = services.hub
        self._history = History(services)
        settings = services.settings
        self._heartbeat_ms = settings.sse_heartbeat_interval_ms
        self._patience = min(settings.sse_client_timeout_ms, self._heartbeat_ms) / 1000

    async def stream(self, request: Request) -> HTTPResponse:
        """Answer with a stream; everything that can be refused is refused before it begins."""
        tasks = _tasks(request)
        for task_id in tasks or ():
            await self._services.application.history(task_id, request.ctx.access.scope)
        async with self._hub.following():
            # The header goes first: a browser that reconnects sends it with the URL it began with.
            last = request.headers.get("last-event-id") or request.args.get("lastEventId")
            start = await self._history.start(tasks, last, request.args.get("from"))
            stream = Stream(self._hub, self._hub.streams, tasks, patience=self._patience)
            take_over(request, stream)
            # The hub sends what comes after this position, and nothing else does.
            await self._begin(stream, self._head(request), start, until=self._hub.position)
        return Handover()

    def _head(self, request: Request) -> bytes:
        cors: Cors | None = request.app.ctx.cors
        return HEAD % (cors.lines(request) if cors is not None else b"")

    async def _begin(self, stream: Stream, head: bytes, start: Start, *, until: int) -> None:
        try:
            head += sse.connected(secrets.token_hex(8), start.cursor, self._heartbeat_ms)
            if start.reason:
                head += sse.reset(start.reason, start.requested, start.cursor)
            await stream.write(head)
            async for batch in self._history.events(
                stream.tasks, stream.scope, start.cursor, until
            ):
                await stream.write(b"".join(map(self._hub.frame, batch)))
            await stream.go_live()
        except ConnectionError:
            # The reader went, as readers do, or was cut and counted.
            stream.abort()
        except Exception:
            # The answer has begun, so all that can be done is to end it; the client resumes.
            logger.exception("A stream broke off", extra={"position": start.cursor})
            stream.abort()


def _tasks(request: Request) -> Tasks:
    named = request.args.getlist("taskId", [])
    return tasks_of([name for value in named for name in value.split(",")]) if named else None
