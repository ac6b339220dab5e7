"""The processor: takes messages, and for each one does the task's next step until it is over.

It looks at the log, does what :func:`tts.domain.steps.next_step` says, appends what happened, and
looks again; it acknowledges the message last. So a message that comes again goes on where the log
stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import cast
from uuid import UUID

from tts.application.tasks import Application
from tts.domain.errors import NewerEvent
from tts.domain.task import Task
from tts.patience import Outage
from tts.ports.coordination import Signals
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.queue import Consumer, Delivery
from tts.processor.orders import early, is_duplicate
from tts.processor.resources import Resources

logger = logging.getLogger(__name__)

CANCELLATIONS = frozenset({Task.CancelRequested.TOPIC})
BREATHER_SECONDS = 1.0  # before a message that could not be worked on is given back
# So long a message is kept while the store is away. Giving it back would not bring it forward, and
# the broker gives up one that comes back too often.
HOLD_SECONDS = 600.0


class Busy:
    """A task under work: ``changed`` asks its run to look at the log, ``over`` says it ended.

    ``begun`` is whether a run of this message began, which an outage may have ended.
    """

    def __init__(self) -> None:
        self.begun = False
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
        self._outage = Outage("Tasks cannot be worked on", sleep=self._sleep)
        self._idle: set[asyncio.Task[None]] = set()
        self._busy: dict[UUID, Busy] = {}

    @property
    def busy(self) -> int:
        """How many tasks are being worked on now."""
        return len(self._busy)

    @property
    def places(self) -> int:
        """How many can be worked on at once."""
        return self._concurrency

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
        self._slots = asyncio.Semaphore(0)  # nothing more is begun
        for task in self._idle:
            task.cancel()
        if at_work := handling - self._idle:
            logger.info("Finishing %d tasks", len(at_work))
            await asyncio.wait(at_work, timeout=self._grace)
            for task in handling:
                task.cancel()
            await asyncio.gather(*handling, return_exceptions=True)

    async def _handle(self, delivery: Delivery) -> None:
        task_id = delivery.message.task_id
        try:
            async with self._alone(task_id) as busy:
                await self._outage.wait_out(
                    partial(self._attend, delivery, busy),
                    about=_about(delivery),
                    at_most=HOLD_SECONDS,
                )
        except Unavailable as error:
            logger.warning("Giving a message back: %s", error, extra=_about(delivery))
        except NewerEvent as error:
            logger.warning("Leaving a task to a newer processor: %s", error, extra=_about(delivery))
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
            with self._idling():
                await other.over.wait()
        self._busy[task_id] = busy = Busy()
        try:
            yield busy
        finally:
            del self._busy[task_id]
            busy.over.set()

    async def _attend(self, delivery: Delivery, busy: Busy) -> None:
        """Work on the task when there is a slot, which what waits for its time does not take."""
        pause: float | None = 0.0
        while pause is not None:
            slots = self._slots
            with self._idling():
                await asyncio.sleep(pause)
                await slots.acquire()
            try:
                pause = await self._work(delivery, busy)
            finally:
                slots.release()

    async def _sleep(self, seconds: float) -> None:
        with self._idling():
            await asyncio.sleep(seconds)

    @contextlib.contextmanager
    def _idling(self) -> Iterator[None]:
        """What this handler does in the block may be broken off when the processor stops."""
        handler = cast("asyncio.Task[None]", asyncio.current_task())
        self._idle.add(handler)
        try:
            yield
        finally:
            self._idle.discard(handler)

    async def _work(self, delivery: Delivery, busy: Busy) -> float | None:
        """Bring the task forward as far as it goes, or return the seconds until it may begin."""
        task_id = delivery.message.task_id
        events, said = await self._application.store.whole(task_id)
        if not events or events[0].version != 1:
            # The log has lost it, or the message is somebody else's.
            logger.error("A message names a task that does not exist", extra=_about(delivery))
            return None
        task = self._application.replay(events)
        again = delivery.redelivered or busy.begun
        if is_duplicate(delivery.message, task, events, again=again):
            logger.info("A duplicate message is dropped", extra=_about(delivery))
            return None
        if pause := early(task, self._application.now()):
            return pause
        busy.begun = True
        # What listens to audio is loaded with the first task: nobody waits for it at the start.
        from tts.processor.task_run import TaskRun  # noqa: PLC0415

        run = TaskRun(
            self._application,
            self._resources,
            task,
            worker=self._worker,
            changed=busy.changed,
            history=events,
            said=said,
        )
        tracing, caller = self._resources.tracing, task.traceparent
        with tracing.span("process", task_id=task_id, caller=caller, kind="consumer"):
            await run.finish()
        return None


def _say_why(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled():
        logger.error(
            "Cancellations or webhooks are no longer watched", exc_info=watching.exception()
        )


def _about(delivery: Delivery) -> dict[str, object]:
    message = delivery.message
    return {
        "task_id": str(message.task_id),
        "attempt": message.attempt,
        "position": message.position,
    }
