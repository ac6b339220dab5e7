"""One worker's run over one task: performs the steps and appends what happened."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from typing import Any

from tts.application.tasks import Application
from tts.domain import retry
from tts.domain.errors import LeaseLost, TransitionRefused
from tts.domain.failures import Treatment
from tts.domain.naming import object_key
from tts.domain.steps import (
    Cancel,
    Claim,
    Create,
    Done,
    Expire,
    Speak,
    Start,
    Step,
    Store,
    WaitUntil,
    Yield,
    next_step,
)
from tts.domain.task import Task
from tts.domain.values import GiveUp, TaskError
from tts.processor.assembly import Assembly
from tts.processor.claimed_task import ClaimedTask
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.segment_run import SegmentRun, Setback, permit
from tts.processor.settlement import Settlement

logger = logging.getLogger(__name__)

CANCEL_TRIES = 5
CANCEL_PAUSE_SECONDS = 2.0  # before the second try; doubled each time


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
    ) -> None:
        self._claimed = ClaimedTask(application, resources, task, worker=worker, changed=changed)
        self._resources = resources
        self._script = Script(application.store, resources, task)
        self._settlement = Settlement(application, resources, task)
        self._segment_runs: dict[int, SegmentRun] = {}
        self._assembly = Assembly(self._claimed, resources, self._segment_run)
        self._cancel_failures = 0

    async def finish(self) -> None:
        """Do step after step until the task is over, waits for a retry, or is another worker's.

        Raises:
            Unavailable: the store cannot be read; the message has to come again.
        """
        claimed = self._claimed
        while True:
            step = next_step(claimed.task, claimed.claimed_lease, claimed.now())
            if isinstance(step, Done | Yield):
                return
            reloads = claimed.reloads
            try:
                setbacks = await self._perform(step)
                if setbacks:
                    await self._record(setbacks)
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
            case WaitUntil(due_at):
                await claimed.pause((due_at - claimed.now()).total_seconds())
                return []
            case Claim():
                work = claimed.claim()
            case Store():
                work = self._store()
            case Expire():
                work = self._expire()
            case Cancel():
                work = self._cancel()
        failure = await claimed.attempt(type(step).__name__.lower(), work)
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
        await _all(work() for _ in range(workers))
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

    async def _store(self) -> None:
        claimed = self._claimed
        size, duration = await self._assembly.store()
        await claimed.append(
            lambda task, now: task.succeed(
                lease=claimed.lease,
                object_key=object_key(task.id),
                size=size,
                duration=duration,
                now=now,
            )
        )

    async def _expire(self) -> None:
        claimed = self._claimed
        for index, segment in enumerate(claimed.task.segments):
            if segment.prediction_id is not None and segment.output_url is None:
                await self._resources.predictions.cancel(segment.prediction_id)
                # It may have ended just before: what is paid for is delivered.
                prediction = await self._resources.predictions.get(segment.prediction_id)
                if prediction.output_url is not None:
                    await self._segment_run(index).start_download(prediction)
                await self._resources.gate.leave(permit(claimed, index))
        if all(segment.output_url is not None for segment in claimed.task.segments):
            return
        error = TaskError("deadline_exceeded", "deadline", "the task's deadline has passed")
        gave_up = GiveUp(error, permanent=False)
        await claimed.append(lambda task, now: task.fail(claimed.lease, gave_up, now=now))

    async def _cancel(self) -> None:
        claimed = self._claimed
        await _all(self._cancel_segment(index) for index in range(len(claimed.task.segments)))
        if all(segment.downloaded for segment in claimed.task.segments):
            # It may be stored already, by us or by a worker that died before it could say so.
            await self._resources.audio.delete(object_key(claimed.task.id))
        await claimed.append(lambda task, now: task.confirm_cancel(now=now))

    async def _cancel_segment(self, index: int) -> None:
        segment = self._claimed.task.segments[index]
        prediction_id = None if segment.output_url else segment.prediction_id
        if segment.intent_at is not None:
            speech = await self._script.speech(index)
            prediction_id = await self._settlement.for_sure(index, speech, segment.intent_at)
        if prediction_id is not None:
            await self._resources.predictions.cancel(prediction_id)
        await self._resources.gate.leave(permit(self._claimed, index))

    # --- failures

    async def _record(self, setbacks: list[Setback]) -> None:
        claimed = self._claimed
        for setback in setbacks:
            logger.warning(
                "%s failed: %s",
                setback.failure.step,
                setback.failure.message,
                extra={**claimed.about(), "code": setback.failure.code, "segment": setback.segment},
            )
        if claimed.task.cancel_requested:
            await self._cancel_again()
            return
        decision = retry.combine(
            [
                retry.decide(
                    claimed.task,
                    setback.segment,
                    setback.failure,
                    self._resources.policy,
                    creating=isinstance(setback.step, Create),
                    now=claimed.now(),
                    random=random.random,
                )
                for setback in setbacks
            ]
        )
        if isinstance(decision, GiveUp):
            gave_up = decision
            await claimed.append(lambda task, now: task.fail(claimed.lease, gave_up, now=now))
            # What may still run has nobody any more who would give its place back.
            await asyncio.gather(
                *(
                    self._resources.gate.leave(permit(claimed, index))
                    for index in range(len(claimed.task.segments))
                )
            )
        else:
            later = decision
            await claimed.append(
                lambda task, now: task.schedule_retry(claimed.lease, later, now=now)
            )

    async def _cancel_again(self) -> None:
        """Wait before the next try; after some the task ends all the same.

        What may still run upstream then was created with a time limit of its own (Cancel-After).
        """
        self._cancel_failures += 1
        if self._cancel_failures < CANCEL_TRIES:
            await asyncio.sleep(CANCEL_PAUSE_SECONDS * 2 ** (self._cancel_failures - 1))
        else:
            await self._claimed.append(lambda task, now: task.confirm_cancel(now=now))


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at once, and raise the first failure only when each one has ended."""
    results = await asyncio.gather(*works, return_exceptions=True)
    failures = [result for result in results if result is not None]
    if failures:
        # A lost lease says more than what follows from it.
        raise next((failure for failure in failures if isinstance(failure, LeaseLost)), failures[0])
