"""From the log to the queue: every event that orders something is published, then marked.

The log is the outbox. A crash between a publication and the checkpoint publishes again; a processor
recognises the duplicate. Nothing else publishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from datetime import datetime

import orjson

from tts.application import Application
from tts.domain import Task
from tts.ports import Coordination, Destination, Log, Message, Publisher, Recorded, Unavailable
from tts.retry import on_grid

logger = logging.getLogger(__name__)

NAME = "relay"
SLACK_SECONDS = 0.25
CHECKPOINT_SECONDS = 1.0  # what is published again after a crash
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
FINAL_TOPICS = (
    Task.Succeeded.TOPIC,
    Task.Failed.TOPIC,
    Task.Dismissed.TOPIC,
    Task.Canceled.TOPIC,
    Task.Erased.TOPIC,
)
ORDERS = frozenset(
    {
        Task.Requested.TOPIC,
        Task.RetryRequested.TOPIC,
        Task.CancelRequested.TOPIC,
        Task.RetryScheduled.TOPIC,
        Task.Failed.TOPIC,
    }
)
MARKED_TOPICS = frozenset({Task.Requested.TOPIC, Task.RetryRequested.TOPIC})


def order(event: Recorded, *, now: datetime) -> Message | None:
    """The message that an event asks for, if it asks for one."""
    match event.topic:
        case Task.Requested.TOPIC | Task.RetryRequested.TOPIC | Task.CancelRequested.TOPIC:
            return Message(Destination.WORK, event.task_id, attempt=1, position=event.position)
        case Task.RetryScheduled.TOPIC:
            state = orjson.loads(event.state)
            wait = (datetime.fromisoformat(state["due_at"]) - now).total_seconds()
            return Message(
                Destination.RETRY,
                event.task_id,
                attempt=state["attempt"],
                position=event.position,
                delay=_room(wait, state["delay"]),
            )
        case Task.Failed.TOPIC:
            state = orjson.loads(event.state)
            return Message(
                Destination.DEAD_LETTER,
                event.task_id,
                attempt=state["attempt"],
                position=event.position,
                headers={
                    "code": state["code"],
                    "step": state["step"],
                    "reason": state["message"],
                    "permanent": str(state["permanent"]).lower(),
                    "failed-at": state["timestamp"],
                },
            )
    return None


def rescue(event: Recorded, *, now: datetime) -> Message:
    """The message for a task of which ``event`` is the newest, whatever became of earlier ones."""
    asked = order(event, now=now)
    if asked is not None:
        return asked
    return Message(Destination.WORK, event.task_id, attempt=1, position=event.position)


def _room(wait: float, delay: float) -> float:
    """The delay that was decided on, unless the relay is late; nothing at all when it is due."""
    if wait <= 0:
        return 0.0
    # The milliseconds that the event took to get here must not make another waiting room.
    return delay if wait > delay - SLACK_SECONDS else on_grid(wait)


class Relay:
    """Publishes while it leads; any number of others stand by."""

    def __init__(
        self,
        application: Application,
        log: Log,
        coordination: Coordination,
        publisher: Publisher,
        *,
        durable_queue: bool,
    ) -> None:
        self._application = application
        self._log = log
        self._coordination = coordination
        self._publisher = publisher
        self._durable_queue = durable_queue
        self.position = 0

    async def run(self) -> None:
        """Wait for the leadership, publish, and start over when it is lost; until canceled."""
        while True:
            try:
                async with self._coordination.leadership(NAME) as leadership:
                    logger.info("Leading the relay", extra={"position": self.position})
                    await first_of(leadership.lost(), self._lead())
                logger.warning("The relay's leadership is lost", extra={"position": self.position})
            except Unavailable as error:
                logger.warning("The relay starts over: %s", error)
            await asyncio.sleep(BACKOFF_SECONDS[0])

    async def _lead(self) -> None:
        if self._durable_queue:
            self.position = await self._coordination.checkpoint(NAME)
        else:
            await self.rebuild()
        saving = asyncio.create_task(self._save_checkpoints())
        try:
            async for events in self._log.follow(self.position, batch=200, topics=ORDERS):
                await asyncio.gather(*map(self._relay, events))
                self.position = events[-1].position
        finally:
            saving.cancel()
            with contextlib.suppress(Unavailable):  # what it costs is a few duplicates
                await self._coordination.save_checkpoint(NAME, self.position)

    async def rebuild(self) -> None:
        """Publish a message for every task that is not over: the queue may have lost its own."""
        self.position = await self._log.position()
        unfinished = await self._log.newest(excluding=FINAL_TOPICS)
        now = self._application.now()
        for event in unfinished:
            await self._publish(rescue(event, now=now))
            await self._mark(event)
        if unfinished:
            logger.info("Put %d unfinished tasks back into the queue", len(unfinished))

    async def _relay(self, event: Recorded) -> None:
        message = order(event, now=self._application.now())
        if message is not None:
            await self._publish(message)
        await self._mark(event)

    async def _mark(self, event: Recorded) -> None:
        if event.topic in MARKED_TOPICS:
            await self._application.mark_queued(event, attempt=1)

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


async def first_of(*works: Awaitable[None]) -> None:
    """Run all, and when the first one ends cancel the others; its failure is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
