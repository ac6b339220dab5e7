"""One worker's run over one task: performs the steps and appends what happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tts.application.tasks import Application
from tts.domain.errors import LeaseLost, TransitionRefused
from tts.domain.failures import Treatment
from tts.domain.steps import (
    Cancel,
    Claim,
    Done,
    Expire,
    Speak,
    Start,
    Step,
    StoreAudio,
    Yield,
    name_of,
    next_step,
)
from tts.domain.task import Task
from tts.ports.log import Payload, Recorded
from tts.processor.assembly import Assembly
from tts.processor.claimed_task import ClaimedTask
from tts.processor.concurrently import concurrently
from tts.processor.failing import Setback, end_attempt, report
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.segment_run import SegmentRun
from tts.processor.settlement import Settlement
from tts.processor.stopping import Stopping

logger = logging.getLogger(__name__)


class TaskRun:
    """The state of one run that is not in the log: what was fetched and can be fetched again."""

    def __init__(
        self,
        application: Application,
        resources: Resources,
        task: Task,
        *,
        worker: str,
        changed: asyncio.Event,
        history: Sequence[Recorded] = (),
        said: Payload | None = None,
    ) -> None:
        self._claimed = ClaimedTask(
            application, resources, task, worker=worker, changed=changed, history=history
        )
        self._resources = resources
        self._script = Script(application.store, resources, task, said)
        self._settlement = Settlement(application, resources, task)
        self._segment_runs: dict[int, SegmentRun] = {}
        self._assembly = Assembly(self._claimed, resources, self._script, self._segment_run)
        self._stopping = Stopping(
            self._claimed, resources, self._script, self._settlement, self._segment_run
        )

    async def finish(self) -> None:
        """Do step after step until the task is over, waits for a retry, or is another worker's.

        Raises:
            Unavailable: the store cannot be read; the message has to come again.
        """
        try:
            await self._take_steps()
        finally:
            # The parts of a run know each other: its audio would stay until the collector comes.
            self._segment_runs.clear()

    async def _take_steps(self) -> None:
        claimed = self._claimed
        while True:
            step = next_step(claimed.task, claimed.claimed_lease, claimed.now())
            if isinstance(step, Done | Yield):
                return
            reloads = claimed.reloads
            try:
                setbacks = await self._perform(step)
                if setbacks:
                    await self._act_on(setbacks)
            except LeaseLost as lost:
                logger.info("Stopped: %s", lost, extra=claimed.about())
                return
            except TransitionRefused as refused:
                # The log went another way while the step was under way: decide anew.
                if claimed.reloads == reloads:
                    raise
                logger.info("Deciding anew: %s", refused, extra=claimed.about())
            if claimed.interrupted:
                await claimed.reload()

    async def _perform(self, step: Step) -> list[Setback]:
        """Perform a step and return what failed of it."""
        claimed = self._claimed
        match step:
            case Speak(segments):
                return await self._speak(segments)
            case Claim():
                work = claimed.claim()
            case StoreAudio():
                work = self._store_audio()
            case Expire():
                work = self._stopping.expire()
            case Cancel():
                work = self._stopping.cancel()
        failure = await claimed.attempt(name_of(type(step)), work)
        return [Setback(failure, self._assembly.fetching)] if failure else []

    async def _speak(self, segments: list[int]) -> list[Setback]:
        """Bring the segments forward as far as they go, several at once.

        A failed segment does not hold up the others: they are finished first, and the next attempt
        is about the failed ones alone. But nothing more is begun when no repetition can help, or
        when the voice itself is not to be had.
        """
        waiting = iter(segments)
        setbacks: list[Setback] = []

        async def work() -> None:
            for index in waiting:
                setback = await self._speak_one(index)
                if setback is not None:
                    setbacks.append(setback)
                    if setback.failure.treatment is Treatment.PERMANENT:
                        self._claimed.interrupt()
                    elif isinstance(setback.step, Start):
                        return
                if self._claimed.interrupted:
                    return

        workers = min(self._resources.segment_concurrency, len(segments))
        # Nobody is canceled for another's failure: a creation under way has to be recorded.
        await concurrently(work() for _ in range(workers))
        return sorted(setbacks, key=lambda setback: setback.segment or 0)

    async def _speak_one(self, index: int) -> Setback | None:
        try:
            return await self._segment_run(index).finish()
        except Exception:
            self._claimed.interrupt()  # the others stop at their next step, and this is raised
            raise

    def _segment_run(self, index: int) -> SegmentRun:
        run = self._segment_runs.get(index)
        if run is None:
            run = self._segment_runs[index] = SegmentRun(
                self._claimed, self._resources, self._script, self._settlement, index
            )
        return run

    async def _store_audio(self) -> None:
        claimed = self._claimed
        stored = await self._assembly.store()
        if stored is None:
            return
        size, duration = stored
        await claimed.append(
            lambda task, now: task.succeed(
                claimed.lease,
                object_key=task.audio_key,
                size=size,
                duration=duration,
                now=now,
            )
        )
        await self._assembly.forget()

    async def _act_on(self, setbacks: list[Setback]) -> None:
        report(self._claimed, setbacks)
        if self._claimed.task.cancel_requested:
            await self._stopping.cancel_again()
        else:
            await end_attempt(self._claimed, self._resources, setbacks)
