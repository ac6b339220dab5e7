"""One worker's run over one task: performs the steps and appends what happened."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable
from datetime import datetime

from eventsourcing.persistence import StoredEvent

from tts import retry
from tts.application import Application, object_key
from tts.brief import Brief
from tts.domain import DomainError, LeaseLost, Task, TaskError, TransitionRefused
from tts.outside import Outside
from tts.ports import (
    AudioInfo,
    Conflict,
    Prediction,
    PredictionState,
    StepError,
    Treatment,
    Unavailable,
)
from tts.retry import GiveUp
from tts.search import Search
from tts.steps import (
    Cancel,
    Claim,
    Create,
    Done,
    Download,
    Expire,
    Poll,
    Settle,
    Start,
    Step,
    Store,
    WaitUntil,
    Yield,
    next_step,
)

logger = logging.getLogger(__name__)

INLINE = "data:"  # stands in the log for an output that is no address but the audio itself
POLL_FAILURES = 10  # in a row, before the attempt ends
POLL_PAUSE_CAP_SECONDS = 15.0
CANCEL_TRIES = 5
STORE_RETRY_SECONDS = 1.0


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
        self.task = task
        self._application = application
        self._outside = outside
        self._worker = worker
        self._changed = changed  # set from outside when the log has news of this task
        self._lease: int | None = None
        self._segment: int | None = None  # which one the present step is about
        self._brief = Brief(application.store, outside.templates, task)
        self._search = Search(application, outside, task.id)
        self._seen: dict[int, Prediction] = {}
        self._audio: dict[int, tuple[bytes, AudioInfo]] = {}
        self._stored = False
        self._cancel_failures = 0

    async def finish(self) -> None:
        """Do step after step until the task is over, waits for a retry, or is another worker's.

        Raises:
            Unavailable: the store cannot be read; the message has to come again.
        """
        while True:
            step = next_step(self.task, self._lease, self._application.now())
            if isinstance(step, Done | Yield):
                return
            version = self.task.version
            started = asyncio.get_running_loop().time()
            code = ""
            try:
                code = await self._attempt(step)
            except LeaseLost as lost:
                logger.info("Stopped: %s", lost, extra=self._about())
                return
            except TransitionRefused as refused:
                # The log went another way while the step was under way: decide anew.
                if self.task.version == version:
                    raise
                logger.info("Deciding anew: %s", refused, extra=self._about())
            finally:
                seconds = asyncio.get_running_loop().time() - started
                self._outside.observe(_name(step), seconds, code)

    # --- one step

    async def _attempt(self, step: Step) -> str:
        """Perform the step; a failure is appended and its code returned."""
        self._segment = getattr(step, "segment", None)
        try:
            await self._perform(step)
        except StepError as error:
            failure = error
        except (DomainError, Unavailable):
            raise
        except Exception as error:
            logger.exception("A step failed unexpectedly", extra=self._about())
            failure = StepError(
                "internal_error",
                _name(step),
                f"{type(error).__name__} at {_name(step)}; the processor's log has its trace",
                Treatment.AMBIGUOUS if isinstance(step, Create) else Treatment.TRANSIENT,
            )
        else:
            return ""
        await self._record(failure, creating=isinstance(step, Create))
        return failure.code

    async def _perform(self, step: Step) -> None:  # noqa: C901 -- one case a step
        match step:
            case WaitUntil(due_at):
                await self._pause((due_at - self._application.now()).total_seconds())
            case Claim():
                await self._claim()
            case Start(segments):
                await self._start(segments)
            case Settle(segment, intent_at):
                await self._settle(segment, intent_at)
            case Create(segment):
                await self._create(segment)
            case Poll(segment, prediction_id):
                await self._poll(segment, prediction_id)
            case Download(segment):
                await self._download(segment)
            case Store():
                await self._store()
            case Expire():
                await self._expire()
            case Cancel():
                await self._cancel()

    async def _claim(self) -> None:
        held = self.task.lease

        def claim(task: Task, now: datetime) -> None:
            if task.lease != held:  # another worker was faster, and both cannot be right
                raise LeaseLost(task, held)
            task.claim(worker=self._worker, now=now)

        await self._append(claim)
        self._lease = self.task.lease

    async def _start(self, segments: list[int]) -> None:
        template = await self._brief.template()
        await self._brief.payload()
        await self._append(
            lambda task, now: task.start_processing(
                lease=self._held,
                transcript_hash=template.transcript_hash,
                audio_url=template.audio_url,
                audio_etag=template.audio_etag,
                segments=segments,
                now=now,
            )
        )

    async def _create(self, segment: int) -> None:
        speech = await self._brief.speech(segment)
        left = (self.task.deadline_at - self._application.now()).total_seconds()
        try:
            prediction = await self._outside.predictions.create(speech, seconds_left=left)
        except StepError as failure:
            if failure.treatment is not Treatment.AMBIGUOUS:
                raise
            intent_at = self.task.segments[segment].intent_at
            found = await self._search.once(speech, intent_at) if intent_at else None
            if found is None:
                raise
            await self._record_prediction(segment, found, found=True)
        else:
            self._seen[segment] = prediction
            await self._record_prediction(segment, prediction.id, found=False)

    async def _settle(self, segment: int, intent_at: datetime) -> None:
        speech = await self._brief.speech(segment)
        prediction_id = await self._search.for_sure(speech, intent_at)
        if prediction_id is None:
            await self._start([segment])
        else:
            await self._record_prediction(segment, prediction_id, found=True)

    async def _poll(self, segment: int, prediction_id: str) -> None:
        prediction = self._seen.pop(segment, None)
        failures = 0
        while prediction is None or prediction.state is PredictionState.RUNNING:
            if self._application.now() >= self.task.deadline_at:
                return
            if await self._pause(
                min(self._outside.poll_interval * 2**failures, POLL_PAUSE_CAP_SECONDS)
            ):
                self.task, _ = await self._application.load(self.task.id)
                return
            try:
                prediction = await self._outside.predictions.get(prediction_id)
                failures = 0
            except StepError as failure:
                # To look again costs nothing, so an attempt ends only when looking fails for long.
                failures += 1
                patient = failure.treatment in {Treatment.TRANSIENT, Treatment.THROTTLED}
                if not patient or failures > POLL_FAILURES:
                    raise
                await self._pause(failure.retry_after or 0.0)
        if prediction.output_url is None:
            raise StepError(
                "prediction_canceled",
                "poll",
                f"prediction {prediction_id} was canceled, and not by us",
                Treatment.LOST,
            )
        await self._start_download(segment, prediction)

    async def _download(self, segment: int) -> None:
        data = await self._fetch_output(segment)
        if data is None:
            return
        info = self._outside.inspect(data)
        await self._append(
            lambda task, now: task.complete_download(
                lease=self._held,
                segment=segment,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                duration=info.duration,
                now=now,
            )
        )
        self._audio[segment] = data, info

    async def _store(self) -> None:
        (segment,) = range(len(self.task.segments))
        if segment not in self._audio:  # the worker that had it died
            self._segment = segment
            fetched = await self._fetch_output(segment)
            if fetched is None:
                return
            self._audio[segment] = fetched, self._outside.inspect(fetched)
        data, info = self._audio[segment]
        key = object_key(self.task.id)
        await self._outside.audio.put(key, data, info.content_type)
        self._stored = True
        await self._append(
            lambda task, now: task.succeed(
                lease=self._held,
                object_key=key,
                size=len(data),
                duration=info.duration,
                now=now,
            )
        )

    async def _expire(self) -> None:
        for index, segment in enumerate(self.task.segments):
            if segment.prediction_id is not None and segment.output_url is None:
                self._segment = index
                await self._outside.predictions.cancel(segment.prediction_id)
                # It may have ended just before: what is paid for is delivered.
                prediction = await self._outside.predictions.get(segment.prediction_id)
                if prediction.output_url is not None:
                    await self._start_download(index, prediction)
                    return
        error = TaskError("deadline_exceeded", "deadline", "the task's deadline has passed")
        await self._append(
            lambda task, now: task.fail(
                lease=self._held, error=error, permanent=False, abandoned=[], settled=[], now=now
            )
        )

    async def _cancel(self) -> None:
        for index, segment in enumerate(self.task.segments):
            prediction_id = None if segment.output_url else segment.prediction_id
            if segment.intent_at is not None:
                speech = await self._brief.speech(index)
                prediction_id = await self._search.for_sure(speech, segment.intent_at)
            if prediction_id is not None:
                await self._outside.predictions.cancel(prediction_id)
        if self._stored:
            await self._outside.audio.delete(object_key(self.task.id))
        await self._append(lambda task, now: task.confirm_cancel(now=now))

    # --- what several steps do

    async def _record(self, failure: StepError, *, creating: bool) -> None:
        logger.warning(
            "%s failed: %s",
            failure.step,
            failure.message,
            extra={**self._about(), "code": failure.code},
        )
        if self.task.cancel_requested:
            await self._cancel_again()
            return
        decision = retry.decide(
            self.task,
            self._segment,
            failure,
            self._outside.policy,
            creating=creating,
            now=self._application.now(),
            random=random.random,
        )
        if isinstance(decision, GiveUp):
            permanent = decision.permanent
            await self._append(
                lambda task, now: task.fail(
                    lease=self._held,
                    error=decision.error,
                    permanent=permanent,
                    abandoned=decision.abandoned,
                    settled=decision.settled,
                    now=now,
                )
            )
        else:
            later = decision
            await self._append(
                lambda task, now: task.schedule_retry(
                    lease=self._held,
                    error=later.error,
                    attempt=later.attempt,
                    delay=later.delay,
                    due_at=later.due_at,
                    abandoned=later.abandoned,
                    settled=later.settled,
                    now=now,
                )
            )

    async def _cancel_again(self) -> None:
        """Wait before the next try; after some the task ends all the same.

        What may still run upstream then was created with a time limit of its own (Cancel-After).
        """
        self._cancel_failures += 1
        if self._cancel_failures < CANCEL_TRIES:
            await asyncio.sleep(2.0**self._cancel_failures)
        else:
            await self._append(lambda task, now: task.confirm_cancel(now=now))

    async def _record_prediction(self, segment: int, prediction_id: str, *, found: bool) -> None:
        await self._append(
            lambda task, now: task.record_prediction(
                lease=self._held,
                segment=segment,
                prediction_id=prediction_id,
                model_version=self._outside.model_version,
                found=found,
                now=now,
            )
        )

    async def _start_download(self, segment: int, prediction: Prediction) -> None:
        output_url = prediction.output_url
        if output_url is None:
            raise ValueError(f"prediction {prediction.id} has no output")
        if output_url.startswith(INLINE):  # the audio itself, which does not belong into the log
            output_url = INLINE
            self._seen[segment] = prediction
        await self._append(
            lambda task, now: task.start_download(
                lease=self._held,
                segment=segment,
                predict_time=prediction.predict_time,
                output_url=output_url,
                now=now,
            )
        )

    async def _fetch_output(self, segment: int) -> bytes | None:
        """The output, or None when Replicate names another place for it, which is then recorded."""
        state = self.task.segments[segment]
        if state.output_url is None or state.prediction_id is None:
            raise ValueError(f"segment {segment} has no output to fetch")
        output_url: str | None = state.output_url
        if output_url == INLINE:
            seen = self._seen.pop(segment, None)
            seen = seen or await self._outside.predictions.get(state.prediction_id)
            output_url = seen.output_url
        try:
            return await self._outside.predictions.download(output_url or INLINE)
        except StepError as failure:
            if failure.treatment is not Treatment.LOST:
                raise
            prediction = await self._outside.predictions.get(state.prediction_id)
            if prediction.output_url in {None, state.output_url}:
                raise
        await self._start_download(segment, prediction)
        return None

    async def _pause(self, seconds: float) -> bool:
        """Wait; true, and early, when the log has news of the task."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _append(self, command: Callable[[Task, datetime], None]) -> None:
        """Apply the command and append its events; when somebody else was first, apply it anew."""
        while True:
            command(self.task, self._application.now())
            try:
                await self._persist(self._application.collect(self.task))
            except Conflict:
                self.task, _ = await self._application.load(self.task.id)
            else:
                return

    async def _persist(self, events: list[StoredEvent]) -> None:
        """Append, however long the store is away: what happened outside must not be forgotten."""
        waiting = False
        while True:
            try:
                await self._application.store.append(events)
            except Unavailable as error:
                if not waiting:
                    logger.warning("Waiting for the store: %s", error, extra=self._about())
                waiting = True
                await asyncio.sleep(STORE_RETRY_SECONDS)
            else:
                return

    @property
    def _held(self) -> int:
        if self._lease is None:
            raise ValueError(f"task {self.task.id} was not claimed by this run")
        return self._lease

    def _about(self) -> dict[str, object]:
        return {"task_id": str(self.task.id), "attempt": self.task.attempt}


def _name(step: Step) -> str:
    return type(step).__name__.lower()
