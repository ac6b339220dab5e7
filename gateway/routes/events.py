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
from gateway.streams.stream import HEAD, HEADERS, IN_CHUNKS, Stream, take_over
from tts.domain.errors import NewerEvent
from tts.ports.errors import Unavailable

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
        archived = await self._history.archived(tasks, request.ctx.access.scope)
        async with self._hub.following():
            # The header goes first: a browser that reconnects sends it with the URL it began with.
            last = request.headers.get("last-event-id") or request.args.get("lastEventId")
            scope = request.ctx.access.scope
            begin = request.args.get("from")
            start = await self._history.start(tasks, scope, last, begin, archived)
            if request.method == "HEAD":
                return _HeadOnly(headers=dict(HEADERS), content_type=HEADERS[0][1])
            in_chunks = request.version != "1.0"
            readers = self._hub.streams if in_chunks else self._hub.plain_streams
            stream = Stream(self._hub, readers, tasks, patience=self._patience)
            take_over(request, stream)
            head = HEAD % ((IN_CHUNKS if in_chunks else b"") + _cors_lines(request))
            # The hub sends what comes after this position, and nothing else does.
            await self._begin(stream, head, start, until=self._hub.position)
        return Handover()

    async def _begin(self, stream: Stream, head: bytes, start: Start, *, until: int) -> None:
        try:
            first = [sse.connected(secrets.token_hex(8), start.cursor, self._heartbeat_ms)]
            if start.reason:
                first.append(sse.reset(start.reason, start.requested, start.cursor))
            await stream.write_frames(first, head=head)
            async for batch in self._history.events(stream.tasks, stream.scope, start, until):
                await stream.write_frames(map(self._hub.frame, batch))
            await stream.go_live()
        except ConnectionError:
            # The reader went, as readers do, or was cut and counted.
            stream.abort()
        except NewerEvent as error:
            self._hub.end_before(error.topic, stream)
        except Unavailable as error:
            # The answer has begun, so all that can be done is to end it; the client resumes.
            logger.warning("A stream ends in its history: %s", error)
            stream.abort()
        except Exception:
            logger.exception("A stream broke off", extra={"position": start.cursor})
            stream.abort()


class _HeadOnly(HTTPResponse):
    """The head of an answer whose length nobody knows."""

    __slots__ = ()

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:  # noqa: ARG002, FBT001
        """Called by Sanic once, when the handler has returned."""
        await super().send(b"", end_stream=False)
        await super().send(b"", end_stream=True)


def _cors_lines(request: Request) -> bytes:
    cors: Cors | None = request.app.ctx.cors
    return cors.lines(request) if cors is not None else b""


def _tasks(request: Request) -> Tasks:
    # One that is named without a value is no wish to hear of all.
    named = request.get_args(keep_blank_values=True).getlist("taskId", [])
    return tasks_of([name for value in named for name in value.split(",")]) if named else None
