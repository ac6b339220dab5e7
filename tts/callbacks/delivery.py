"""From the table of callbacks to the other side: what is due is sent, and how it went is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson

from tts.application.tasks import Application, TaskNotFound, owner_of
from tts.callbacks.hosts import Hosts
from tts.callbacks.schedule import after_failure, after_reply
from tts.callbacks.signing import signed_headers
from tts.domain.naming import callback_secret
from tts.patience import Outage
from tts.ports.callbacks import Callback, CallbackSender, CallbackState, CallbackTable, Undelivered
from tts.wire import TaskEnd, task_update

logger = logging.getLogger(__name__)

AT_ONCE = 64  # callbacks under way
LOOK_SECONDS = 5.0  # how late a callback may be that another process made due
KEEP_SECONDS = 30 * 24 * 3600.0  # how long one that is over can be looked at and replayed

Name = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class CallbackFigures:
    """What is told to whoever observes: an attempt's outcome, or how many are in which state."""

    outcome: str | None = None
    counts: Mapping[CallbackState, int] | None = None


class Delivery:
    """Sends what is due, while :meth:`run` runs. ``audio_url`` turns an object key into a URL."""

    def __init__(
        self,
        application: Application,
        table: CallbackTable,
        sender: CallbackSender,
        *,
        audio_url: Callable[[str], str],
        observe: Callable[[CallbackFigures | None], None] = lambda _: None,
    ) -> None:
        self._application = application
        self._table = table
        self._sender = sender
        self._audio_url = audio_url
        self._observe = observe
        self._news = asyncio.Event()
        self._hosts = Hosts()
        self._under_way: dict[Name, asyncio.Task[None]] = {}
        self._outage = Outage("Callbacks wait for the store")

    def look(self) -> None:
        """There may be something due."""
        self._news.set()

    async def run(self) -> None:
        """Send what is due, until canceled.

        Raises:
            Unavailable: the table cannot be read.
        """
        try:
            while True:
                self._news.clear()
                now = self._now()
                for callback in await self._due(now):
                    self._begin(callback, now)
                await self._wait(now)
        finally:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def tidy(self) -> None:
        """Show how many there are, and remove what is long over; until canceled.

        Raises:
            Unavailable: the table cannot be read.
        """
        try:
            while True:
                self._observe(CallbackFigures(counts=await self._table.counts()))
                await self._table.prune(self._now() - KEEP_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._observe(None)

    async def _due(self, now: float) -> list[Callback]:
        if len(self._under_way) >= AT_ONCE:
            return []
        closed = self._hosts.closed(now)
        # The table still shows as due what is under way.
        due = await self._table.due(now, AT_ONCE, without=closed)
        return [callback for callback in due if _name(callback) not in self._under_way]

    async def _wait(self, since: float) -> None:
        """Until there are news, or something is due."""
        moments = [self._hosts.next_open(since), await self._table.next_due(since)]
        seconds = min((at - since for at in moments if at is not None), default=LOOK_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(seconds, 0.01), LOOK_SECONDS)):
                await self._news.wait()

    def _begin(self, callback: Callback, now: float) -> None:
        if len(self._under_way) >= AT_ONCE or not self._hosts.takes(callback.host, now):
            return
        self._hosts.begin(callback.host)
        task = asyncio.create_task(self._attempt(callback))
        self._under_way[_name(callback)] = task

        def end(_: asyncio.Task[None]) -> None:
            del self._under_way[_name(callback)]
            self._hosts.end(callback.host)
            self.look()

        task.add_done_callback(end)

    async def _attempt(self, callback: Callback) -> None:
        try:
            headers, body = await self._outage.wait_out(lambda: self._message(callback))
        except TaskNotFound:  # the log has lost it
            await self._outage.wait_out(lambda: self._table.forget([callback.task_id]))
            return
        try:
            reply = await self._sender.post(callback.url, headers, body)
        except Undelivered as error:
            self._hosts.silent(callback.host, self._now())
            result = after_failure(callback, str(error), self._now())
        else:
            self._hosts.answered(callback.host)
            result = after_reply(callback, reply, self._now())
        await self._outage.wait_out(lambda: self._table.save(result))
        over = result.state is not CallbackState.PENDING
        self._observe(CallbackFigures(outcome=result.state.value if over else "retried"))
        if result.state is CallbackState.FAILED:
            logger.warning(
                "A callback is given up after %d attempts: %s",
                result.attempts,
                result.problem,
                extra={"task_id": str(callback.task_id)},
            )

    async def _message(self, callback: Callback) -> tuple[Mapping[str, str], bytes]:
        events = await self._application.history(callback.task_id)
        end = next((event for event in events if event.version == callback.version), None)
        if end is None:
            raise TaskNotFound(f"task {callback.task_id} has no version {callback.version}")
        requested = orjson.loads(events[0].state)
        update = task_update(end, self._audio_url, requested.get("template_id"))
        told: TaskEnd = {
            "type": f"task.{update['status']}",
            "timestamp": update["timestamp"],
            "data": update,
        }
        body = orjson.dumps(told)
        key = (await self._application.store.secret()).key
        secret = callback_secret(key, owner_of(events[0]))
        headers = signed_headers(
            secret, f"{callback.task_id}-{callback.version}", body, self._now()
        )
        return {**headers, "content-type": "application/json"}, body

    def _now(self) -> float:
        return self._application.now().timestamp()


def _name(callback: Callback) -> Name:
    return callback.task_id, callback.version
