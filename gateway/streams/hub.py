"""From one follower of the log to every stream; it follows only while somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from itertools import chain
from uuid import UUID

import orjson

from gateway.metrics import DELAY, HUB_POSITION
from gateway.streams import sse, ws_messages
from gateway.streams.gathering import Gathering
from gateway.streams.newer import Newer, readable
from gateway.streams.owners import Owners
from gateway.streams.subscribers import CHUNKED, Subscriber, Subscribers
from tts.application.tasks import utc_now
from tts.domain.task import Task
from tts.domain.values import FINAL
from tts.patience import Outage
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded
from tts.wire import UPDATES

logger = logging.getLogger(__name__)

FINAL_TOPICS = frozenset(
    topic for topic, (status, _) in UPDATES.items() if status in FINAL or topic == Task.Erased.TOPIC
)
STREAMS_AT_ONCE = 100  # served before others have their turn: less than a millisecond
TURNS_MAX = 6  # of the loop, for others, before the next streams are served
QUIET_SECONDS = 60e-6  # a turn that is shorter had nothing to do
RETURN_WITHIN_SECONDS = 5.0  # a closing gateway spreads its clients' return over this time


class Hub:
    """Hands each event to the streams that want it, as bytes that were made once.

    ``events`` reads all events of one task; ``audio_url`` turns an object key into a URL.
    """

    def __init__(
        self,
        log: Log,
        *,
        events: Callable[[UUID], Awaitable[list[Recorded]]],
        audio_url: Callable[[str], str],
        heartbeat_seconds: float,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.position = 0  # up to which all is sent or due; only true while following
        self.streams = Subscribers(self.frame, sse.heartbeat, CHUNKED)
        self.plain_streams = Subscribers(self.frame, sse.heartbeat)  # of those who read HTTP/1.0
        self.sockets = Subscribers(self.message, ws_messages.heartbeat)
        self.readers = (self.streams, self.plain_streams, self.sockets)
        self.owners = Owners(events)
        self.newer = Newer()
        self._log = log
        self._events = events
        self._audio_url = audio_url
        self._heartbeat_seconds = heartbeat_seconds
        self._now = now
        self._outage = Outage("Whose tasks the events are about cannot be read")
        self._final: dict[UUID, set[asyncio.Future[Recorded | None]]] = {}
        self._reached: set[tuple[int, asyncio.Future[None]]] = set()
        self._followers = 0
        self._starting = asyncio.Lock()
        self._running: list[asyncio.Task[None]] = []
        self._closed = False

    def frame(self, event: Recorded) -> bytes:
        """The event as it stands in every stream; its owner has been asked for."""
        template_id = self.owners.template_of(event.task_id)
        return sse.task_update(event, self._audio_url, template_id)

    def message(self, event: Recorded) -> bytes:
        """The event as it goes to every WebSocket; its owner has been asked for."""
        template_id = self.owners.template_of(event.task_id)
        return ws_messages.task_update(event, self._audio_url, template_id)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """While it is open, ``position`` is true and moves on.

        Raises:
            Unavailable: the log cannot be read, or the gateway is closing.
        """
        self._followers += 1
        try:
            async with self._starting:
                if not self._running:
                    self.position = await self._log.position()
                    self._running = [
                        asyncio.create_task(self._follow()),
                        asyncio.create_task(self._beat()),
                    ]
            if self._closed:
                raise Unavailable("the gateway is shutting down")
            yield
        finally:
            self._followers -= 1
            self.rest()

    def rest(self) -> None:
        """Follow no longer if nobody listens; to be called when a stream has gone."""
        if not any(self.readers) and not self._followers:
            self._stop()

    async def reach(self, position: int) -> None:
        """Return when everything up to ``position`` is handed out; call it while following.

        Raises:
            Unavailable: that will not happen.
        """
        if position <= self.position:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (position, reached)
        self._reached.add(waiting)
        try:
            await reached
        finally:
            self._reached.discard(waiting)

    async def wait_final(self, task_id: UUID, seconds: float) -> Recorded | None:
        """The event that ended the task, or None if it is still going on after ``seconds``."""
        end: asyncio.Future[Recorded | None] = asyncio.get_running_loop().create_future()
        async with self.following():
            waiting = self._final.setdefault(task_id, set())
            waiting.add(end)
            try:
                # Read after registering: an end in between is in one of the two.
                if not (events := await self._events(task_id)):
                    return None  # they are in an archive
                # A failure that was dismissed is still the one that ended the task.
                newest = next(e for e in reversed(events) if e.topic != Task.Dismissed.TOPIC)
                if newest.topic in FINAL_TOPICS:
                    return newest
                async with asyncio.timeout(seconds):
                    return await end
            except TimeoutError:
                return None
            finally:
                waiting.discard(end)
                if not waiting:
                    self._final.pop(task_id, None)

    async def end_refused(self, *, everybody: bool) -> None:
        """End the streams whose credential has ended; ``everybody`` is looked at after a change."""
        now = self._now().timestamp()
        for readers in self.readers:
            for n, stream in enumerate(readers):
                if n % STREAMS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                is_due = everybody or stream.ends <= now
                if is_due and stream in readers and (reason := stream.refusal()):
                    stream.expel(reason)

    def end_before(self, topic: str, stream: Subscriber) -> None:
        """End a stream in front of an event that this gateway is too old to show."""
        self.newer.met(topic)
        stream.finish(_return_after())

    async def aclose(self) -> None:
        """End every stream and every waiting; each client is told when to come back."""
        self._closed = True
        running = self._stop()
        self._send_away()
        if running:
            await asyncio.wait(running)

    def abort(self) -> None:
        """Cut off the streams whose readers did not take the end."""
        for stream in chain(*self.readers):
            stream.abort()

    # --- inside

    async def _follow(self) -> None:
        gathering = Gathering(time.perf_counter())
        try:
            async for events in self._log.follow(self.position):
                owners: Mapping[UUID, str] = {}
                if any(self.readers):
                    owners = await self._outage.wait_out(partial(self.owners.of, events))
                # No stream of one owner can have come since, unless the owners are known.
                self._prepare(events, owners)
                self._arrived(events)
                began = time.perf_counter()
                await self._send_due()
                ended = time.perf_counter()
                if any(self.readers):
                    self._observe_delay(events[0])
                await asyncio.sleep(gathering.pause(len(events), began, ended))
        except WentBack:
            # The store has said so. Who has seen what is gone comes back with a cursor from there,
            # and is told to start over; whoever has not goes on.
            self._stop()
            self._send_away()
        except Exception:
            # Nobody is left in silence: whoever listens is sent away, and comes back.
            logger.exception("The streams cannot follow the log", extra={"position": self.position})
            self._stop()
            self._send_away()

    def _prepare(self, events: list[Recorded], owners: Mapping[UUID, str]) -> None:
        """Make everything due; whom an event concerns that cannot be shown is sent away."""
        known = readable(events)
        for readers in self.readers:
            readers.prepare(known, owners)
        if len(known) < len(events):
            event = events[len(known)]
            for readers in self.readers:
                for stream in readers.concerned(event, owners):
                    readers.settle(stream)
                    self.end_before(event.topic, stream)
            self._prepare(events[len(known) + 1 :], owners)

    async def _send_due(self) -> None:
        """Send what is due, some streams at a time.

        Events that come meanwhile go out together, in the next round: so the streams keep up with
        what comes faster than it can be handed out one by one.
        """
        for readers in self.readers:
            while readers.send_due(STREAMS_AT_ONCE):
                await _others()
        await _others()

    def _arrived(self, events: list[Recorded]) -> None:
        for event in events:
            if event.topic in FINAL_TOPICS:
                for end in self._final.get(event.task_id, ()):
                    if not end.done():
                        end.set_result(event)
        self.position = events[-1].position
        for position, reached in self._reached:
            if position <= self.position and not reached.done():
                reached.set_result(None)
        HUB_POSITION.set(self.position)

    def _observe_delay(self, event: Recorded) -> None:
        at = orjson.loads(event.state).get("timestamp")
        if at is not None:  # one of a newer version may have none
            seconds = (self._now() - datetime.fromisoformat(at)).total_seconds()
            DELAY.observe(max(seconds, 0.0))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            for readers in self.readers:
                frame = b""
                for n, stream in enumerate(readers):
                    if n % STREAMS_AT_ONCE == 0:
                        await asyncio.sleep(0)
                        # It takes cursors along, so it says where the streams stand in this turn:
                        # an older position would bring updates twice, a newer one would skip some.
                        frame = readers.heartbeat(self.position)
                    if stream not in readers:  # any more
                        continue
                    readers.settle(stream)
                    stream.beat(frame)

    def _send_away(self) -> None:
        for readers in self.readers:
            for stream in readers:
                readers.settle(stream)
                stream.finish(_return_after())
        for waiting in self._final.values():
            for end in waiting:
                if not end.done():
                    end.set_result(None)
        for _, reached in self._reached:
            if not reached.done():
                reached.set_exception(Unavailable("the streams cannot follow the log"))

    def _stop(self) -> list[asyncio.Task[None]]:
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        return running


async def _others() -> None:
    """Let requests go first; one takes several turns of the loop, none of which is to wait."""
    for _ in range(TURNS_MAX):
        began = time.perf_counter()
        await asyncio.sleep(0)
        if time.perf_counter() - began < QUIET_SECONDS:
            return


def _return_after() -> float:
    return random.uniform(0.5, RETURN_WITHIN_SECONDS)  # noqa: S311 -- guards nothing
