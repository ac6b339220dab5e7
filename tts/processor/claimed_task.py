"""A task in one worker's hands: what it appends, and how it notices that the log went on.

It also notices when the log went back: its next append then does not fit. What it has appended is
still true, above all what was paid for, so it is appended once more, unless the log has meanwhile
gone another way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from eventsourcing.persistence import StoredEvent

from tts.application.tasks import Application, TaskNotFound
from tts.domain.errors import DomainError, HistoryLost, LeaseLost
from tts.domain.failures import StepError
from tts.domain.task import Task
from tts.patience import Outage
from tts.ports.errors import Conflict, Unavailable
from tts.ports.log import Recorded
from tts.processor.resources import Resources, StepOutcome

logger = logging.getLogger(__name__)

HELD_FOR = timedelta(minutes=25)  # RabbitMQ takes a message back that is not acked for 30 minutes


class ClaimedTask:
    """The task as the log has it, shared by all that work on its segments at the same time.

    Whoever sets ``changed`` has news of the task: all stop at their next step and look again.
    """

    def __init__(
        self,
        application: Application,
        resources: Resources,
        task: Task,
        *,
        worker: str,
        changed: asyncio.Event,
        history: Sequence[Recorded] = (),
    ) -> None:
        self.task = task
        self.changed = changed
        self.reloads = 0  # how often the log went on without us
        self._application = application
        self._resources = resources
        self._worker = worker
        self._witness = resources.witnesses(history)
        self._lease: int | None = None
        self._ahead = False  # the task has an event that is perhaps not in the log
        self._appended: list[StoredEvent] = []
        self._turn = asyncio.Lock()
        self._held_since = self.now()

    @property
    def claimed_lease(self) -> int | None:
        """The lease of this run, None before it has claimed the task."""
        return self._lease

    @property
    def lease(self) -> int:
        """The lease of this run, which has claimed the task."""
        if self._lease is None:
            raise ValueError(f"task {self.task.id} was not claimed by this run")
        return self._lease

    def now(self) -> datetime:
        """The present time, UTC."""
        return self._application.now()

    @property
    def held_until(self) -> datetime:
        """How long the task may wait in these hands for a store that takes its audio.

        The deadline ends it only while something is left that would have to be paid for.
        """
        longest = self._held_since + HELD_FOR
        return longest if self.task.spoken else min(longest, self.task.deadline_at)

    async def claim(self) -> None:
        """Take the task over.

        Raises:
            LeaseLost: another worker was faster.
        """
        last = self.task.lease

        def claim(task: Task, now: datetime) -> None:
            if task.lease != last:  # another worker was faster, and both cannot be right
                raise LeaseLost(task.id, held=task.lease, shown=last)
            task.claim(worker=self._worker, now=now)

        await self.append(claim)
        self._lease = self.task.lease

    async def append(self, command: Callable[[Task, datetime], None]) -> None:
        """Apply the command and append its events; when somebody else was first, apply it anew.

        Raises:
            DomainError: the task's state, perhaps as it has become meanwhile, refuses the command.
        """
        async with self._turn:
            while True:
                if self._ahead:
                    await self._load()
                command(self.task, self.now())
                self._ahead = True
                events = self._application.collect(self.task)
                try:
                    await self._persist(events)
                except Conflict:
                    continue
                self._ahead = False
                self._appended += events
                self._witness(events)
                return

    def interrupt(self) -> None:
        """Make all who work on the task stop at their next step."""
        self.changed.set()

    @property
    def interrupted(self) -> bool:
        """Whether to stop at the next step, until the task is read again."""
        return self.changed.is_set()

    async def reload(self) -> None:
        """Read the task from the log again.

        Raises:
            HistoryLost: it has lost what was done here, for good.
        """
        self.changed.clear()
        await self._load()

    async def _load(self) -> None:
        history = await self._history()
        if await self._restore(history):
            history = await self._history()
        self.task = self._application.replay(history)
        self._ahead = False
        self.reloads += 1

    async def _history(self) -> list[Recorded]:
        try:
            return await self._application.history(self.task.id)
        except TaskNotFound as error:
            raise HistoryLost(self.task.id) from error

    async def _restore(self, history: Sequence[Recorded]) -> bool:
        """Append again what the log has lost of what this worker had appended; whether it had."""
        if not self._appended:
            return False
        last = self._appended[-1]
        for event in history:
            if event.version == last.originator_version:
                if (event.topic, event.state) != (last.topic, last.state):
                    raise HistoryLost(self.task.id)
                return False
        newest = history[-1]
        lost = [event for event in self._appended if event.originator_version > newest.version]
        before = [e for e in self._appended if e.originator_version == newest.version]
        if before and (before[0].topic, before[0].state) != (newest.topic, newest.state):
            raise HistoryLost(self.task.id)
        logger.warning(
            "The log has lost %d events: appending them again", len(lost), extra=self.about()
        )
        try:
            await self._persist(lost)
        except Conflict as error:
            raise HistoryLost(self.task.id) from error
        return True

    async def pause(self, seconds: float, wake: asyncio.Event | None = None) -> None:
        """Wait, at most until the log has news of the task or ``wake`` is set."""
        if self.changed.is_set():
            return
        waits = [asyncio.ensure_future(self.changed.wait())]
        if wake is not None:
            waits.append(asyncio.ensure_future(wake.wait()))
        try:
            await asyncio.wait(
                waits, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()

    async def attempt(self, name: str, work: Coroutine[Any, Any, None]) -> StepError | None:
        """Perform a step and return its failure, if it is one of the step's own.

        Raises:
            DomainError, Unavailable: the log refused it, or cannot be reached.
        """
        with self._resources.tracing.span(name) as span:
            failure = await self._attempt(name, work)
            if failure is not None:
                span.fail(failure.code)
        return failure

    async def _attempt(self, name: str, work: Coroutine[Any, Any, None]) -> StepError | None:
        started = asyncio.get_running_loop().time()
        failure: StepError | None = None
        try:
            await work
        except StepError as error:
            failure = error
        except (DomainError, Unavailable):
            raise
        except Exception as error:
            logger.exception("A step failed unexpectedly", extra=self.about())
            failure = StepError(
                "internal_error",
                name,
                f"{type(error).__name__} at {name}; the processor's log has its trace",
            )
        finally:
            seconds = asyncio.get_running_loop().time() - started
            code = failure.code if failure else ""
            self._resources.observe(StepOutcome(name, seconds, code))
        return failure

    def about(self) -> dict[str, object]:
        """What a log record says about the task."""
        return {"task_id": str(self.task.id), "attempt": self.task.attempt}

    async def _persist(self, events: list[StoredEvent]) -> None:
        """Append, however long the store is away: what happened outside must not be forgotten."""
        append = partial(self._application.store.append, events)
        await Outage("Waiting for the store").wait_out(append, about=self.about())
