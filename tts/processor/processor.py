"""The processor: takes messages, and for each one does the task's next step until it is over.

It looks at the log, does what :func:`tts.domain.steps.next_step` says, appends what happened, and
looks again; it acknowledges the message last. So a message that comes again goes on where the log
stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from uuid import UUID

from tts.application.tasks import Application
from tts.domain.task import Task
from tts.patience import Outage
from tts.ports.coordination import Signals
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded
from tts.ports.queue import Consumer, Delivery
from tts.processor.resources import Resources
from tts.processor.task_run import TaskRun

logger = logging.getLogger(__name__)

CLAIMS = frozenset({Task.Dequeued.TOPIC, Task.RetryStarted.TOPIC})
CANCELLATIONS = frozenset({Task.CancelRequested.TOPIC})
BREATHER_SECONDS = 1.0  # before a message that could not be worked on is given back


class Busy:
    """A task under work: ``changed`` asks its run to look at the log, ``over`` says it ended."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.over = asyncio.Event()


class Processor:
    """Works on up to ``concurrency`` tasks at once; ``signals`` tell of webhooks, if there are."""

    def __init__(
        self,
        application: Application,
        consumer: Consumer,
        resources: Resources,
        *,
        worker: str,
        concurrency: int,
        grace_seconds: float,
        signals: Signals | None = None,
    ) -> None:
        self._application = application
        self._consumer = consumer
        self._resources = resources
        self._worker = worker
        self._concurrency = concurrency
        self._grace = grace_seconds
        self._signals = signals
        self._slots = asyncio.Semaphore(concurrency)
        self._busy: dict[UUID, Busy] = {}

    @property
    def busy(self) -> int:
        """How many tasks are being worked on now."""
        return len(self._busy)

    async def run(self) -> None:
        """Work until canceled; then finish what can be finished in the grace time.

        What cannot is left as the log has it, and its message goes to another processor.
        """
        async with self._consumer.deliveries(self._concurrency) as deliveries:
            handling: set[asyncio.Task[None]] = set()
            watches = [asyncio.create_task(self._watch_cancellations())]
            if self._signals is not None:
                watches.append(asyncio.create_task(self._resources.wakeups.run(self._signals)))
            for watching in watches:
                watching.add_done_callback(_say_why)
            try:
                async for delivery in deliveries:
                    task = asyncio.create_task(self._handle(delivery))
                    handling.add(task)
                    task.add_done_callback(handling.discard)
            finally:
                await self._drain(handling)
                for watching in watches:
                    watching.cancel()

    async def _watch_cancellations(self) -> None:
        """Have each run look at the log whose task is to be canceled.

        While all hands are full, the message that says so waits behind the very tasks it is about.
        """
        log = self._resources.log
        start = await Outage("The log cannot be read yet").wait_out(log.position)
        while True:
            try:
                async for events in log.follow(start, topics=CANCELLATIONS):
                    start = events[-1].position
                    for event in events:
                        if (busy := self._busy.get(event.task_id)) is not None:
                            busy.changed.set()
            except WentBack as error:
                start = error.survived
                for busy in self._busy.values():
                    busy.changed.set()

    async def _drain(self, handling: set[asyncio.Task[None]]) -> None:
        if handling:
            logger.info("Finishing %d tasks", len(handling))
            self._slots = asyncio.Semaphore(0)  # nothing more is begun
            await asyncio.wait(handling, timeout=self._grace)
            for task in handling:
                task.cancel()
            await asyncio.gather(*handling, return_exceptions=True)

    async def _handle(self, delivery: Delivery) -> None:
        task_id = delivery.message.task_id
        try:
            async with self._alone(task_id) as busy, self._slots:
                await self._work(delivery, busy)
        except Unavailable as error:
            logger.warning("Giving a message back: %s", error, extra=_about(delivery))
        except Exception:
            # What a step does wrong ends its attempt; this is a fault of the processor itself, and
            # perhaps of this version alone. The message stays, and the log says so each time.
            logger.exception("Giving a message back", extra=_about(delivery))
        else:
            await delivery.ack()
            return
        await asyncio.sleep(BREATHER_SECONDS)
        await delivery.release()

    @contextlib.asynccontextmanager
    async def _alone(self, task_id: UUID) -> AsyncIterator[Busy]:
        """Let no two messages of one task be worked on at once: they would fence each other.

        The one that comes second (a cancellation, say) makes the first one look at the log.
        """
        while (other := self._busy.get(task_id)) is not None:
            other.changed.set()
            await other.over.wait()
        self._busy[task_id] = busy = Busy()
        try:
            yield busy
        finally:
            del self._busy[task_id]
            busy.over.set()

    async def _work(self, delivery: Delivery, busy: Busy) -> None:
        task_id = delivery.message.task_id
        events = await self._application.store.events(task_id)
        if not events or events[0].version != 1:
            # The log has lost it, or the message is somebody else's.
            logger.error("A message names a task that does not exist", extra=_about(delivery))
            return
        task = self._application.replay(events)
        if task.claimed and not task.cancel_requested and is_duplicate(delivery, events):
            logger.info("A duplicate message is dropped", extra=_about(delivery))
            return
        run = TaskRun(
            self._application, self._resources, task, worker=self._worker, changed=busy.changed
        )
        await run.finish()


def _say_why(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled():
        logger.error(
            "Cancellations or webhooks are no longer watched", exc_info=watching.exception()
        )


def is_duplicate(delivery: Delivery, events: list[Recorded]) -> bool:
    """Whether the message was worked on already, or is being worked on by another processor.

    A message is followed by the claim that it led to. One that comes again after its consumer died
    is marked redelivered, and one that rescues a task is younger than the claim.
    """
    claimed_at = max((e.position for e in events if e.topic in CLAIMS), default=0)
    return not delivery.redelivered and delivery.message.position < claimed_at


def _about(delivery: Delivery) -> dict[str, object]:
    message = delivery.message
    return {
        "task_id": str(message.task_id),
        "attempt": message.attempt,
        "position": message.position,
    }
