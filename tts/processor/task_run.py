"""One worker's run over one task: performs the steps and appends what happened."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from typing import Any

from tts.application.tasks import Application
from tts.domain import retry
from tts.domain.failures import Treatment
from tts.domain.naming import object_key
from tts.domain.retry import GiveUp
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
from tts.domain.task import LeaseLost, Task, TaskError, TransitionRefused
from tts.processor.assembly import Delivery
from tts.processor.claimed_task import Hold
from tts.processor.resources import Outside
from tts.processor.script import Brief
from tts.processor.segment_run import Setback, Speaking, permit
from tts.processor.settlement import Search

logger = logging.getLogger(__name__)

CANCEL_TRIES = 5
CANCEL_PAUSE_SECONDS = 2.0  # before the second try; doubled each time


class Run:
    """The state of one run that is not in the log: what was fetched and can be fetched again."""

    def __init__(
        self,
        application: Application,
        outside: Outside,
        task: Task,
        *,
        worker: str,
        changed: asyncio.Event,
    ) -> None:
        self._hold = Hold(application, outside, task, worker=worker, changed=changed)
        self._outside = outside
        self._brief = Brief(application.store, outside, task)
        self._search = Search(application, outside, task)
        self._speaking: dict[int, Speaking] = {}
        self._delivery = Delivery(self._hold, outside, self._speaking_of)
        self._cancel_failures = 0

    async def finish(self) -> None:
        """Do step after step until the task is over, waits for a retry, or is another worker's.

        Raises:
            Unavailable: the store cannot be read; the message has to come again.
        """
        hold = self._hold
        while True:
            step = next_step(hold.task, hold.claimed_lease, hold.now())
            if isinstance(step, Done | Yield):
                return
            reloads = hold.reloads
            try:
                setbacks = await self._perform(step)
                if setbacks:
                    await self._record(setbacks)
            except LeaseLost as lost:
                logger.info("Stopped: %s", lost, extra=hold.about())
                return
            except TransitionRefused as refused:
                # The log went another way while the step was under way: decide anew.
                if hold.reloads == reloads:
                    raise
                logger.info("Deciding anew: %s", refused, extra=hold.about())
            if hold.interrupted:
                await hold.reload()

    async def _perform(self, step: Step) -> list[Setback]:
        """Perform a step and return what failed of it."""
        hold = self._hold
        match step:
            case Speak(segments):
                return await self._speak(segments)
            case WaitUntil(due_at):
                await hold.pause((due_at - hold.now()).total_seconds())
                return []
            case Claim():
                work = hold.claim()
            case Store():
                work = self._store()
            case Expire():
                work = self._expire()
            case Cancel():
                work = self._cancel()
        failure = await hold.attempt(type(step).__name__.lower(), work)
        return [Setback(failure, self._delivery.fetching)] if failure else []

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
                        self._hold.interrupt()
                    elif isinstance(setback.step, Start):
                        return
                if self._hold.interrupted:
                    return

        workers = min(self._outside.segment_concurrency, len(segments))
        # Nobody is canceled for another's failure: a creation under way has to be recorded.
        await _all(work() for _ in range(workers))
        return sorted(setbacks, key=lambda setback: setback.segment or 0)

    async def _speak_one(self, index: int) -> Setback | None:
        try:
            return await self._speaking_of(index).finish()
        except Exception:
            self._hold.interrupt()  # the others stop at their next step, and this is raised
            raise

    def _speaking_of(self, index: int) -> Speaking:
        speaking = self._speaking.get(index)
        if speaking is None:
            speaking = self._speaking[index] = Speaking(
                self._hold, self._outside, self._brief, self._search, index
            )
        return speaking

    async def _store(self) -> None:
        hold = self._hold
        size, duration = await self._delivery.store()
        await hold.append(
            lambda task, now: task.succeed(
                lease=hold.lease,
                object_key=object_key(task.id),
                size=size,
                duration=duration,
                now=now,
            )
        )

    async def _expire(self) -> None:
        hold = self._hold
        for index, segment in enumerate(hold.task.segments):
            if segment.prediction_id is not None and segment.output_url is None:
                await self._outside.predictions.cancel(segment.prediction_id)
                # It may have ended just before: what is paid for is delivered.
                prediction = await self._outside.predictions.get(segment.prediction_id)
                if prediction.output_url is not None:
                    await self._speaking_of(index).start_download(prediction)
                await self._outside.gate.leave(permit(hold, index))
        if all(segment.output_url is not None for segment in hold.task.segments):
            return
        error = TaskError("deadline_exceeded", "deadline", "the task's deadline has passed")
        await hold.append(
            lambda task, now: task.fail(
                lease=hold.lease, error=error, permanent=False, abandoned=[], settled=[], now=now
            )
        )

    async def _cancel(self) -> None:
        hold = self._hold
        await _all(self._cancel_segment(index) for index in range(len(hold.task.segments)))
        if all(segment.downloaded for segment in hold.task.segments):
            # It may be stored already, by us or by a worker that died before it could say so.
            await self._outside.audio.delete(object_key(hold.task.id))
        await hold.append(lambda task, now: task.confirm_cancel(now=now))

    async def _cancel_segment(self, index: int) -> None:
        segment = self._hold.task.segments[index]
        prediction_id = None if segment.output_url else segment.prediction_id
        if segment.intent_at is not None:
            speech = await self._brief.speech(index)
            prediction_id = await self._search.for_sure(index, speech, segment.intent_at)
        if prediction_id is not None:
            await self._outside.predictions.cancel(prediction_id)
        await self._outside.gate.leave(permit(self._hold, index))

    # --- failures

    async def _record(self, setbacks: list[Setback]) -> None:
        hold = self._hold
        for setback in setbacks:
            logger.warning(
                "%s failed: %s",
                setback.failure.step,
                setback.failure.message,
                extra={**hold.about(), "code": setback.failure.code, "segment": setback.segment},
            )
        if hold.task.cancel_requested:
            await self._cancel_again()
            return
        decision = retry.combine(
            [
                retry.decide(
                    hold.task,
                    setback.segment,
                    setback.failure,
                    self._outside.policy,
                    creating=isinstance(setback.step, Create),
                    now=hold.now(),
                    random=random.random,
                )
                for setback in setbacks
            ]
        )
        if isinstance(decision, GiveUp):
            permanent = decision.permanent
            await hold.append(
                lambda task, now: task.fail(
                    lease=hold.lease,
                    error=decision.error,
                    permanent=permanent,
                    abandoned=decision.abandoned,
                    settled=decision.settled,
                    now=now,
                )
            )
            # What may still run has nobody any more who would give its place back.
            await asyncio.gather(
                *(
                    self._outside.gate.leave(permit(hold, index))
                    for index in range(len(hold.task.segments))
                )
            )
        else:
            later = decision
            await hold.append(
                lambda task, now: task.schedule_retry(
                    lease=hold.lease,
                    error=later.error,
                    attempt=later.attempt,
                    delay=later.delay,
                    abandoned=later.abandoned,
                    settled=later.settled,
                    suspected=later.suspected or None,
                    now=now,
                )
            )

    async def _cancel_again(self) -> None:
        """Wait before the next try; after some the task ends all the same.

        What may still run upstream then was created with a time limit of its own (Cancel-After).
        """
        self._cancel_failures += 1
        if self._cancel_failures < CANCEL_TRIES:
            await asyncio.sleep(CANCEL_PAUSE_SECONDS * 2 ** (self._cancel_failures - 1))
        else:
            await self._hold.append(lambda task, now: task.confirm_cancel(now=now))


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at once, and raise the first failure only when each one has ended."""
    results = await asyncio.gather(*works, return_exceptions=True)
    failures = [result for result in results if result is not None]
    if failures:
        # A lost lease says more than what follows from it.
        raise next((failure for failure in failures if isinstance(failure, LeaseLost)), failures[0])
