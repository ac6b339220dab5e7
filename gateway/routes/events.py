"""``GET /events``: what happened, then what happens, with no gap and no duplicate in between."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint, frames
from gateway.errors import InvalidRequest
from gateway.services import Services
from gateway.stream import HEAD, Begun, Stream, take_over
from tts.ports import Recorded

logger = logging.getLogger(__name__)

TASKS_MAX = 100  # in one stream
BATCH = 500  # events of history read and encoded at a time: a few milliseconds
DIGITS_MAX = 19  # a longer number is beyond every position that a store can have


@dataclass(frozen=True)
class Start:
    """Where a stream starts: after ``cursor``; ``refused`` says why it is not where ``asked``."""

    cursor: int
    refused: str = ""
    asked: str = ""


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    endpoint.add(app, "GET", "/events", Events(services).stream)


class Events:
    """The handler of the streams."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._hub = services.hub
        settings = services.settings
        self._patience = (
            min(settings.sse_client_timeout_ms, settings.sse_heartbeat_interval_ms) / 1000
        )

    async def stream(self, request: Request) -> HTTPResponse:
        """Answer with a stream; everything that can be refused is refused before it begins."""
        tasks = _tasks(request)
        for task_id in tasks:
            await endpoint.events_of(self._services, task_id, request.ctx.owner)
        async with self._hub.following():
            start = await self._start(request, tasks)
            stream = Stream(self._hub, tasks, patience=self._patience)
            take_over(request, stream)
            # The hub sends what comes after this position, and nothing else does.
            await self._begin(stream, start, until=self._hub.position)
        return Begun()

    async def _start(self, request: Request, tasks: frozenset[UUID]) -> Start:
        hub = self._hub
        # The header goes first: a browser that reconnects sends it with the URL it began with.
        asked = request.headers.get("last-event-id") or request.args.get("lastEventId")
        if not asked:
            asked = request.args.get("from", "start" if tasks else "now")
            if asked == "now":
                return Start(hub.position)
            asked = "0" if asked == "start" else asked
            if _position(asked) is None:
                raise InvalidRequest(f"from: must be now, start or a position, not {asked!r}")
        cursor = _position(asked)
        if cursor is None:
            return Start(hub.position, "unknown", asked)
        if cursor > hub.position:
            if cursor > await self._services.log.position():
                return Start(hub.position, "future", asked)
            await hub.reach(cursor)
        if not tasks and hub.position - cursor > self._services.settings.sse_replay_limit:
            return Start(hub.position, "too_old", asked)
        return Start(cursor)

    async def _begin(self, stream: Stream, start: Start, *, until: int) -> None:
        try:
            head = HEAD + frames.connected(secrets.token_hex(8), start.cursor)
            if start.refused:
                head += frames.reset(start.refused, start.asked, start.cursor)
            await stream.write(head)
            async for batch in self._history(stream.tasks, start.cursor, until):
                await stream.write(b"".join(map(self._hub.frame, batch)))
            await stream.go_live()
        except ConnectionError:
            # The reader went, as readers do, or was cut and counted.
            stream.abort()
        except Exception:
            # The answer has begun, so all that can be done is to end it; the client resumes.
            logger.exception("A stream broke off", extra={"position": start.cursor})
            stream.abort()

    async def _history(
        self, tasks: frozenset[UUID], after: int, until: int
    ) -> AsyncIterator[list[Recorded]]:
        """Everything with ``after`` < position <= ``until`` that the stream is about, in order."""
        if tasks:
            events = [
                e for task in tasks for e in await self._services.application.store.events(task)
            ]
            events.sort(key=lambda event: event.position)
            yield [event for event in events if after < event.position <= until]
            return
        while after < until:
            batch = await self._services.log.read(after, BATCH)
            yield [event for event in batch if event.position <= until]
            after = batch[-1].position


def _tasks(request: Request) -> frozenset[UUID]:
    given = [name for value in request.args.getlist("taskId", []) for name in value.split(",")]
    if len(given) > TASKS_MAX:
        raise InvalidRequest(f"taskId: at most {TASKS_MAX} tasks in one stream")
    return frozenset(map(endpoint.task_id_of, given))


def _position(text: str) -> int | None:
    """A position, however large; None for anything else."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text[: DIGITS_MAX + 1])
