"""From the log to the queue: every event that orders something is published, then marked.

The log is the outbox, and the relay a fair scheduler over it: cancellations, retries and dead
letters leave at once, while rounds of work wait in a backlog and leave by turns, a few ahead of the
processors. A crash between a publication and the checkpoint publishes again; a processor
recognises the duplicate. Nothing else publishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import orjson

from tts.application.tasks import Application
from tts.domain.task import Task
from tts.domain.values import Priority
from tts.patience import (
    first_of,
)
from tts.ports.coordination import Coordination
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded
from tts.ports.queue import Message, Publisher
from tts.relay.fair_queue import FairQueue, Round
from tts.relay.messages import AT_ONCE, order, rescue, work
from tts.relay.unfinished import ROUNDS, UnfinishedTasks
from tts.relay.watchdog import Watchdog

logger = logging.getLogger(__name__)

NAME = "relay"
UNFINISHED = "unfinished"  # the checkpoint from which all unfinished tasks can be read
CHECKPOINT_SECONDS = 1.0  # what is published again after a crash
LOOK_SECONDS = 0.5  # until a broker that lost its data is noticed
SWEEP_SECONDS = 5.0
BATCH = 1000
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
# Only what takes a task out of the window or the backlog is followed besides the orders.
FOLLOWED = ROUNDS | AT_ONCE | {Task.Dequeued.TOPIC}


@dataclass(frozen=True, slots=True)
class Figures:
    """What the relay shows of itself after each look at its tasks.

    ``backlog`` counts by priority; ``published`` rounds are with the broker and not taken yet;
    ``oldest_seconds`` is the age of the oldest unfinished round; ``rescued`` and ``rebuilds`` count
    since the last figures.
    """

    backlog: dict[str, int]
    published: int
    unfinished: int
    oldest_seconds: float
    rescued: int
    rebuilds: int


class Relay:
    """Publishes while it leads; any number of others stand by.

    At most ``window`` rounds of work are with the broker and not taken by a processor, rescues
    apart. ``watchdog_seconds`` is how long nothing may happen to a task before it is suspicious.
    """

    def __init__(
        self,
        application: Application,
        log: Log,
        coordination: Coordination,
        publisher: Publisher,
        *,
        window: int,
        watchdog_seconds: float,
        observe: Callable[[Figures], None] = lambda _: None,
    ) -> None:
        self._application = application
        self._log = log
        self._coordination = coordination
        self._publisher = publisher
        self._window = window
        self._patience = watchdog_seconds
        self._observe = observe
        self.position = 0
        self.leading = False
        self._begin(UnfinishedTasks(0))

    def _begin(self, unfinished: UnfinishedTasks) -> None:
        """Forget what an earlier leadership knew."""
        self._unfinished = unfinished
        self._watchdog = Watchdog(self._patience)
        self._backlog = FairQueue()
        self._published: set[UUID] = set()
        self._turn = asyncio.Event()
        self._rebuilt_to = 0
        self._rebuilds = 0

    async def run(self) -> None:
        """Wait for the leadership, publish, and start over when it is lost; until canceled."""
        while True:
            try:
                async with self._coordination.leadership(NAME) as leadership:
                    logger.info("Leading the relay", extra={"position": self.position})
                    self.leading = True
                    await first_of(leadership.lost(), self._lead())
                logger.warning("The relay's leadership is lost", extra={"position": self.position})
            except Unavailable as error:
                logger.warning("The relay starts over: %s", error)
            finally:
                self.leading = False
            await asyncio.sleep(BACKOFF_SECONDS[0])

    async def _lead(self) -> None:
        self.position = await self._coordination.checkpoint(NAME)
        await self._recall()
        known = self._unfinished.position
        with contextlib.suppress(Unavailable):  # watching finds out, and says why
            await self._restore()
        try:
            await first_of(
                self._follow(known=known),
                self._dispatch(),
                self._watch(),
                self._save_checkpoints(),
            )
        finally:
            with contextlib.suppress(Unavailable):  # what it costs is a few duplicates
                await self._coordination.save_checkpoint(NAME, self.position)

    async def _recall(self) -> None:
        """Read from the log what waits, and what is with the broker."""
        self._begin(UnfinishedTasks(await self._coordination.checkpoint(UNFINISHED)))
        await self._catch_up()
        for task_id, task in self._unfinished.tasks.items():
            if task.topic in ROUNDS:
                item = Round(task_id, task.position, task.version)
                await self._enqueue(item, task.owner, task.priority)
            elif task.topic == Task.Queued.TOPIC:
                self._published.add(task_id)

    async def _catch_up(self) -> None:
        while events := await self._log.read(self._unfinished.position, BATCH):
            for event in events:
                self._unfinished.apply(event)
            if len(events) < BATCH:
                return

    # --- the orders, in the order of the log

    async def _follow(self, *, known: int) -> None:
        """Publish what is urgent, and keep the backlog; up to ``known`` the backlog is complete."""
        async for events in self._log.follow(self.position, batch=200, topics=FOLLOWED):
            for event in events:
                if event.position > known:
                    await self._account(event)
            now = self._application.now()
            urgent = [
                message
                for event in events
                if event.topic in AT_ONCE
                and not self._in_rebuilt(event)
                and (message := order(event, now=now)) is not None
            ]
            await asyncio.gather(*map(self._publish, urgent))
            self.position = events[-1].position

    def _in_rebuilt(self, event: Recorded) -> bool:
        # A failed task is over, so rebuilding has not published its dead letter.
        return event.position <= self._rebuilt_to and event.topic != Task.Failed.TOPIC

    async def _account(self, event: Recorded) -> None:
        if event.topic in ROUNDS:
            state = orjson.loads(event.state)
            item = Round(event.task_id, event.position, event.version)
            await self._enqueue(item, state.get("owner"), state.get("priority", Priority.NORMAL))
        else:  # a processor has it, or nobody is to work on it any more
            self._published.discard(event.task_id)
            self._backlog.discard(event.task_id)
        self._turn.set()

    async def _enqueue(self, item: Round, owner: str | None, priority: str) -> None:
        if owner is None:  # asked for again: the task's first event knows
            state = orjson.loads((await self._application.store.events(item.task_id))[0].state)
            owner, priority = state["owner"], state.get("priority", Priority.NORMAL)
        self._backlog.add(item, owner=owner, priority=priority)

    # --- rounds of work, by turns

    async def _dispatch(self) -> None:
        while True:
            while turns := self._turns():
                await asyncio.gather(*map(self._send, turns))
            self._turn.clear()
            await self._turn.wait()

    def _turns(self) -> list[Round]:
        """Those whose turn it is now, as many as the window has room for.

        Under load several go together, for the price of one: a quarter of the window is awaited.
        """
        turns: list[Round] = []
        if self._window - len(self._published) < min(len(self._backlog), self._window // 4):
            return turns
        while self._backlog and len(self._published) < self._window:
            turns.append(item := self._backlog.pop())
            self._published.add(item.task_id)
        return turns

    async def _send(self, item: Round) -> None:
        await self._publish(work(item.task_id, item.position))
        await self._application.mark_queued(item.task_id, item.version, attempt=1)

    # --- what was lost

    async def _watch(self) -> None:
        """Look after the broker and the tasks; what cannot be looked at now is looked at later."""
        loop = asyncio.get_running_loop()
        pause = min(SWEEP_SECONDS, self._patience / 4)
        swept = loop.time() - pause
        failures = 0
        while True:
            try:
                await self._restore()
                if loop.time() >= swept + pause:
                    swept = loop.time()
                    await self._sweep()
                failures = 0
            except Unavailable as error:
                if failures == 0:
                    logger.warning("The tasks cannot be looked after, trying again: %s", error)
                failures += 1
            delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]
            await asyncio.sleep(delay if failures else min(LOOK_SECONDS, pause))

    async def _restore(self) -> None:
        """Rebuild the queue if it is not the one that this log's messages went to."""
        if not await self._publisher.marked():
            await self._republish()
            await self._publisher.mark()
            self._rebuilds += 1

    async def rebuild(self) -> None:
        """Put every unfinished task back into the queue, whoever leads; for before :meth:`run`.

        Those whose turn has not come yet get their messages from the one who leads.
        """
        await self._recall()
        await self._republish()

    async def _republish(self) -> None:
        """Publish a message for every task that is not over, save those whose turn is to come."""
        await self._catch_up()
        now = self._application.now().timestamp()
        lost = [
            rescue(task_id, task, now=now)
            for task_id, task in self._unfinished.tasks.items()
            if task.topic not in ROUNDS or task_id in self._published
        ]
        position = self._unfinished.position
        for start in range(0, len(lost), BATCH):
            await asyncio.gather(*map(self._publish, lost[start : start + BATCH]))
        self._rebuilt_to = position
        if lost:
            logger.info("Put %d unfinished tasks back into the queue", len(lost))

    async def _sweep(self) -> None:
        """Rescue what is suspicious, and remember from where on unfinished tasks stand."""
        ready = await self._publisher.ready()
        await self._catch_up()
        now = self._application.now().timestamp()
        suspicious = self._watchdog.find(self._unfinished, ready, now)
        for task_id, task in suspicious:
            logger.warning(
                "Nothing has happened to a task for %.0f s: it gets another message",
                now - task.since,
                extra={
                    "task_id": str(task_id),
                    "event": task.topic,
                    "attempt": task.attempt,
                    "position": task.position,
                },
            )
            await self._publish(rescue(task_id, task, now=now))
        await self._coordination.save_checkpoint(UNFINISHED, self._unfinished.floor)
        oldest = self._unfinished.oldest
        figures = Figures(
            backlog=self._backlog.sizes(),
            published=len(self._published),
            unfinished=len(self._unfinished.tasks),
            oldest_seconds=0.0 if oldest is None else max(now - oldest, 0.0),
            rescued=len(suspicious),
            rebuilds=self._rebuilds,
        )
        self._rebuilds = 0
        self._observe(figures)

    # --- what several of these do

    async def _publish(self, message: Message) -> None:
        failures = 0
        while True:
            try:
                await self._publisher.publish(message)
            except Unavailable as error:
                delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                if failures == 0:
                    logger.warning(
                        "A message cannot be published, trying again: %s",
                        error,
                        extra={"task_id": str(message.task_id), "position": message.position},
                    )
                failures += 1
                await asyncio.sleep(delay)
            else:
                return

    async def _save_checkpoints(self) -> None:
        saved = self.position
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            if self.position != saved:
                with contextlib.suppress(Unavailable):  # the next one says it again
                    await self._coordination.save_checkpoint(NAME, self.position)
                    saved = self.position
