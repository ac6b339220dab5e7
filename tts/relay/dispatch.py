"""Rounds of work wait in a backlog, and leave by fair turns, a few ahead of the processors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import islice
from uuid import UUID

import orjson

from tts.application.tasks import Application
from tts.application.turns import Turns
from tts.domain.task import Task
from tts.domain.values import Priority
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded
from tts.ports.queue import Destination
from tts.relay.fair_queue import FairQueue, Round
from tts.relay.messages import Publish, work
from tts.relay.pace import Pace
from tts.relay.unfinished import ROUNDS, Unfinished

STALL_SECONDS = 1.0  # after which it is asked why nobody takes what was published
MARK_SECONDS = 0.02  # until what was published is marked, unless a processor took it


class Dispatch:
    """The rounds of one leadership; at most ``window`` of them wait in the broker's queue.

    ``published`` holds the tasks that are with the broker and not taken, in order, and where in the
    log their rounds were asked for, or, for those of before, marked as queued. Those that a
    processor was given and does not take, because it hangs, do not wait in the queue: they leave
    the window to the others.
    """

    def __init__(
        self,
        application: Application,
        publish: Publish,
        ready: Callable[[], Awaitable[Mapping[Destination, int]]],
        *,
        window: int,
        pace: Pace,
    ) -> None:
        self.backlog = FairQueue()
        self.published: dict[UUID, int] = {}
        self._pace = pace
        self._held: set[UUID] = set()
        self._ready = ready
        self._application = application
        self._publish = publish
        self._window = window
        self._changed = asyncio.Event()
        self._unmarked: list[Round] = []
        self._sent = asyncio.Event()

    async def recall(self, tasks: Mapping[UUID, Unfinished], followed: int) -> None:
        """Take over what an earlier leadership left; what comes after ``followed`` is accounted."""
        for task_id, task in tasks.items():
            if task_id in self.backlog or task_id in self.published or task.position > followed:
                continue
            if task.topic in ROUNDS:
                item = Round(task_id, task.position, task.version)
                await self._enqueue(item, task.owner, task.priority)
            elif task.topic == Task.Queued.TOPIC:
                self.published[task_id] = task.position
        self._changed.set()

    async def account(self, event: Recorded) -> None:
        """Take the next event into account: it asks for a round, or ends the waiting for one."""
        if event.topic in ROUNDS:
            state = orjson.loads(event.state)
            item = Round(event.task_id, event.position, event.version)
            await self._enqueue(item, state.get("owner"), state.get("priority", Priority.NORMAL))
        else:  # a processor has it, or nobody is to work on it any more
            self.published.pop(event.task_id, None)
            self._held.discard(event.task_id)
            self.backlog.discard(event.task_id)
        self._changed.set()

    def waiting(self) -> Iterator[int]:
        """Those with the broker whose turn it still is, as positions in the log, in order."""
        return (
            position for task_id, position in self.published.items() if task_id not in self._held
        )

    def turns(self, followed: int) -> Turns:
        """Who has his turn when; the log is known up to the position ``followed``."""
        lines, rest = self.backlog.lines()
        return Turns(
            followed=followed,
            published=list(self.waiting()),
            lines=lines,
            rest=rest,
            seconds_per_turn=self._pace.seconds_per_turn,
            free=0 if self.backlog else self._pace.free,  # who waits there would have it
        )

    async def run(self) -> None:
        """Publish rounds as the window has room for them, until canceled."""
        while True:
            while turns := self._turns():
                await asyncio.gather(*map(self._send, turns))
            self._changed.clear()
            try:
                async with asyncio.timeout(STALL_SECONDS if self.backlog else None):
                    await self._changed.wait()
            except TimeoutError:
                await self._look_for_held()

    async def mark(self) -> None:
        """Mark what waits with the broker as queued, until canceled.

        A processor that is free has it at once, and its claim says that it was queued: who marked
        it at the same time would only be in its way.
        """
        while True:
            await self._sent.wait()
            self._sent.clear()
            await asyncio.sleep(MARK_SECONDS)
            unmarked, self._unmarked = self._unmarked, []
            waiting = (each for each in unmarked if each.task_id in self.published)
            await asyncio.gather(*map(self._mark, waiting))

    async def _look_for_held(self) -> None:
        """Find out which rounds have left the queue although nobody has taken them."""
        with contextlib.suppress(Unavailable):
            ready = (await self._ready())[Destination.WORK]
            # First in, first out: what is ready are the newest ones.
            given = max(len(self.published) - ready, 0)
            self._held = set(islice(self.published, given))

    async def _enqueue(self, item: Round, owner: str | None, priority: str) -> None:
        if owner is None:  # asked for again: the task's first event knows
            state = orjson.loads((await self._application.store.events(item.task_id))[0].state)
            owner, priority = state.get("owner", ""), state.get("priority", Priority.NORMAL)
        self.backlog.add(item, owner=owner, priority=priority)

    def _turns(self) -> list[Round]:
        """Those whose turn it is now, as many as the window has room for.

        Under load several go together, for the price of one: a quarter of the window is awaited.
        """
        turns: list[Round] = []
        room = self._window - (len(self.published) - len(self._held))
        if room < min(len(self.backlog), self._window // 4):
            return turns
        while self.backlog and len(turns) < room:
            turns.append(item := self.backlog.pop())
            self.published[item.task_id] = item.position
        return turns

    async def _send(self, item: Round) -> None:
        await self._publish(work(item.task_id, item.position))
        self._unmarked.append(item)
        self._sent.set()

    async def _mark(self, item: Round) -> None:
        place = next((n for n, each in enumerate(self.waiting(), 1) if each == item.position), None)
        await self._application.mark_queued(
            item.task_id,
            item.version,
            attempt=1,
            queue_position=place,
            estimated_wait_ms=place and self._pace.wait_ms(place, is_full=bool(self.backlog)),
        )
