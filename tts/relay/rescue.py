"""What the broker or a processor lost comes again: a whole queue at once, or one task's message."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from tts.application.tasks import Application
from tts.domain.task import Task
from tts.patience import Outage
from tts.ports.coordination import Coordination
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded
from tts.ports.queue import Destination, Publisher
from tts.relay.dispatch import Dispatch
from tts.relay.messages import AT_ONCE, Publish, order, rescue
from tts.relay.pace import Pace
from tts.relay.unfinished import ROUNDS, Unfinished, UnfinishedTasks
from tts.relay.watchdog import Watchdog

logger = logging.getLogger(__name__)

UNFINISHED = "unfinished"  # the checkpoint from which all unfinished tasks can be read
LOOK_SECONDS = 0.5  # until a broker that lost its data is noticed
SWEEP_SECONDS = 5.0
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Figures:
    """What the relay shows of itself after each look at its tasks.

    ``backlog`` counts by priority; ``published`` rounds are with the broker and not taken yet;
    ``ready`` are the messages that lie in the queues, None while the broker does not say;
    ``oldest_seconds`` is the age of the oldest unfinished round, ``oldest_wait_seconds`` of the
    oldest that no processor has taken; ``rescued`` and ``rebuilds`` count since the last figures.
    """

    backlog: dict[str, int]
    published: int
    unfinished: int
    oldest_seconds: float
    oldest_wait_seconds: float
    ready: Mapping[Destination, int] | None
    rescued: int
    rebuilds: int


class Rescue:
    """Looks after the unfinished tasks during one leadership; all times in seconds.

    ``patience`` is how long nothing may happen to a task before it is suspicious.
    """

    def __init__(
        self,
        application: Application,
        log: Log,
        coordination: Coordination,
        publisher: Publisher,
        publish: Publish,
        dispatch: Dispatch,
        *,
        pace: Pace,
        patience: float,
        observe: Callable[[Figures], None],
    ) -> None:
        self._application = application
        self._log = log
        self._coordination = coordination
        self._publisher = publisher
        self._publish = publish
        self._dispatch = dispatch
        self._patience = patience
        self._observe = observe
        self._pace = pace
        self._unfinished = UnfinishedTasks(0)
        self._watchdog = Watchdog(patience)
        self._pause = min(SWEEP_SECONDS, patience / 4)
        self._swept_at = -math.inf
        self._republished_to = 0
        self._rebuilds = 0

    async def recall(self, ordered: int, until: int) -> None:
        """Read from the log which tasks are not over; where no checkpoint helps, that is long.

        Dead letters of after ``ordered`` are sent on the way, up to ``until``.
        """
        begin = min(ordered, await self._coordination.checkpoint(UNFINISHED))
        self._unfinished = UnfinishedTasks(begin, self._pace)
        async for events in self._news():
            dead = [
                order(event, now=None)
                for event in events
                if event.topic == Task.Failed.TOPIC and ordered < event.position <= until
            ]
            await asyncio.gather(*(self._publish(letter) for letter in dead if letter))

    async def hand_over(self, followed: int) -> None:
        """Let the dispatch have what waits, and what is with the broker.

        It is told by others of what comes after ``followed``, and of nothing meanwhile.
        """
        await self._catch_up()
        await self._dispatch.recall(self._unfinished.tasks, followed)

    async def remember(self) -> None:
        """Save from where on unfinished tasks stand."""
        await self._coordination.save_checkpoint(
            UNFINISHED, self._unfinished.floor, seen=self._unfinished.position
        )

    async def make_up(self, ordered: int, until: int) -> None:
        """Publish what is urgent between the two positions; it may have been published already."""
        now = self._application.now().timestamp()
        urgent = [
            rescue(task_id, task, now=now)
            for task_id, task in self._unfinished.tasks.items()
            if task.topic in AT_ONCE and max(ordered, self._republished_to) < task.position <= until
        ]
        await asyncio.gather(*map(self._publish, urgent))

    async def watch(self) -> None:
        """Look after the broker and the tasks until canceled; outages are waited out."""
        outage = Outage("The tasks cannot be looked after")
        while True:
            await outage.wait_out(self._look)
            await asyncio.sleep(min(LOOK_SECONDS, self._pause))

    async def restore(self) -> None:
        """Rebuild the queue if it is not the one that this log's messages went to."""
        if not await self._publisher.marked():
            await self.republish()
            await self._publisher.mark()
            self._rebuilds += 1

    async def republish(self) -> None:
        """Publish a message for every task that is not over, save those whose turn is to come."""
        await self._catch_up()
        now = self._application.now().timestamp()
        lost = [
            rescue(task_id, task, now=now)
            for task_id, task in self._unfinished.tasks.items()
            if task.topic not in ROUNDS or task_id in self._dispatch.published
        ]
        position = self._unfinished.position
        for start in range(0, len(lost), BATCH):
            await asyncio.gather(*map(self._publish, lost[start : start + BATCH]))
        self._republished_to = position
        if lost:
            logger.info("Put %d unfinished tasks back into the queue", len(lost))

    def has_republished(self, event: Recorded) -> bool:
        """Whether the message that the event orders is in the queue already."""
        # A failed task is over, so that its dead letter was not among the messages.
        return event.position <= self._republished_to and event.topic != Task.Failed.TOPIC

    async def _look(self) -> None:
        try:
            await self.restore()
            now = asyncio.get_running_loop().time()
            if now >= self._swept_at + self._pause:
                await self._sweep()
                self._swept_at = now
        except Unavailable:
            # What waits is in the log, and grows while the broker is away.
            await self._catch_up()
            self._show(self._application.now().timestamp(), None, rescued=0)
            raise

    async def _sweep(self) -> None:
        """Rescue what is suspicious, and remember from where on unfinished tasks stand."""
        ready = await self._publisher.ready()
        await self._catch_up()
        now = self._application.now().timestamp()
        suspicious = self._watchdog.find(self._unfinished, ready, now)
        for task_id, task in suspicious:
            await self._rescue(task_id, task, now)
        await self.remember()
        self._show(now, ready, rescued=len(suspicious))

    async def _rescue(self, task_id: UUID, task: Unfinished, now: float) -> None:
        logger.warning(
            "Nothing has happened to a task for %.0f s: it gets another message",
            now - task.since,
            extra={
                "task_id": str(task_id),
                "topic": task.topic,
                "attempt": task.attempt,
                "position": task.position,
            },
        )
        await self._publish(rescue(task_id, task, now=now))

    def _show(self, now: float, ready: Mapping[Destination, int] | None, *, rescued: int) -> None:
        oldest, waiting = self._unfinished.oldest, self._unfinished.oldest_waiting
        figures = Figures(
            backlog=self._dispatch.backlog.sizes(),
            published=len(self._dispatch.published),
            unfinished=len(self._unfinished.tasks),
            oldest_seconds=0.0 if oldest is None else max(now - oldest, 0.0),
            oldest_wait_seconds=0.0 if waiting is None else max(now - waiting, 0.0),
            ready=ready,
            rescued=rescued,
            rebuilds=self._rebuilds,
        )
        self._rebuilds = 0
        self._observe(figures)

    async def _catch_up(self) -> None:
        async for _ in self._news():
            pass

    async def _news(self) -> AsyncIterator[list[Recorded]]:
        """What the log has got since the last look, batch by batch, as it is taken into account."""
        while events := await self._log.read(self._unfinished.position, BATCH):
            for event in events:
                self._unfinished.apply(event)
            yield events
            if len(events) < BATCH:
                return
