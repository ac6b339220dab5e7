"""One segment's way: from the intent to create a prediction to its audio."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta

from tts.domain import retry
from tts.domain.failures import StepError, Treatment
from tts.domain.naming import part_key
from tts.domain.steps import Create, Download, Poll, SegmentStep, Settle, Start, next_segment_step
from tts.domain.values import Segment
from tts.ports.audio import AudioInfo
from tts.ports.speech import Prediction, PredictionState, Speech
from tts.processor.claimed_task import ClaimedTask
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.settlement import Settlement
from tts.text.speech_rate import too_short

CREATE_FAILED = "create_failed"  # Replicate's own answer: nothing is under way
INLINE = "data:"  # stands in the log for an output that is no address but the audio itself
POLL_FAILURES = 10  # in a row, before the attempt ends
FIRST_POLL_PAUSE_SECONDS = 0.5  # after a failure to look; it doubles with each
POLL_PAUSE_CAP_SECONDS = 15.0


@dataclass(frozen=True)
class Setback:
    """A step failed: of which segment and which one, if it was one of a segment's."""

    failure: StepError
    segment: int | None = None
    step: SegmentStep | None = None


@dataclass(frozen=True)
class Audio:
    """A segment's audio as it was fetched."""

    data: bytes
    info: AudioInfo


class SegmentRun:
    """Speaks segment ``index`` of the task that is held.

    ``audio`` keeps the audio of a task's only segment until it is stored; of several, each is
    stored as a part at once.
    """

    def __init__(
        self,
        claimed: ClaimedTask,
        resources: Resources,
        script: Script,
        settlement: Settlement,
        index: int,
    ) -> None:
        self.audio: Audio | None = None
        self._claimed = claimed
        self._resources = resources
        self._script = script
        self._settlement = settlement
        self._index = index
        self._permit = permit(claimed, index)
        self._seen: Prediction | None = None  # read already, and not acted upon yet

    async def finish(self) -> Setback | None:
        """Do step after step until the audio is there, one fails, or there is news of the task.

        Raises:
            DomainError, Unavailable: the log refused a step, or cannot be reached.
        """
        while not self._claimed.interrupted:
            step = next_segment_step(
                self._claimed.task, self._index, self._claimed.lease, self._claimed.now()
            )
            if step is None:
                break
            failure = await self._claimed.attempt(type(step).__name__.lower(), self._perform(step))
            if failure is not None:
                # What cannot be looked at now runs on, and what is in doubt may be running.
                runs = isinstance(step, Poll) and not failure.failure.worthless
                if failure.treatment is not Treatment.AMBIGUOUS and not runs:
                    await self._resources.gate.leave(self._permit)
                return Setback(failure, self._index, step)
        if self._segment.intent_at is None and self._segment.prediction_id is None:
            await self._resources.gate.leave(self._permit)
        return None

    async def _perform(self, step: SegmentStep) -> None:
        match step:
            case Start():
                await self._start()
            case Settle(intent_at):
                found = await self._settlement.for_sure(
                    self._index, await self._speech(), intent_at
                )
                await (self._record(found, found=True) if found else self._start())
            case Create():
                await self._create()
            case Poll(prediction_id):
                await self._poll(prediction_id)
            case Download():
                await self._download()

    @property
    def _segment(self) -> Segment:
        return self._claimed.task.segments[self._index]

    async def _start(self) -> None:
        template = await self._script.template()
        await self._script.payload()
        # The wait comes before the intent: behind it, the request has to leave at once.
        if not await self._resources.gate.admit(
            self._permit, until=self._claimed.task.deadline_at, changed=self._claimed.changed
        ):
            return
        await self._claimed.append(
            lambda task, now: task.start_processing(
                lease=self._claimed.lease,
                transcript_hash=template.transcript_hash,
                audio_url=template.audio_url,
                audio_etag=template.audio_etag,
                segments=[self._index],
                now=now,
            )
        )

    async def _create(self) -> None:
        speech = await self._speech()
        left = (self._claimed.task.deadline_at - self._claimed.now()).total_seconds()
        try:
            with self._settlement.creating(speech):
                prediction = await self._resources.predictions.create(speech, seconds_left=left)
                self._settlement.created(self._index, prediction.id)
        except StepError as failure:
            await self._resources.gate.settle(self._permit, failure)
            found = await self._created_all_the_same(failure, speech)
            if found is None:
                raise
            await self._record(found, found=True)
        else:
            self._seen = prediction
            try:
                await self._record(prediction.id, found=False)
            finally:  # also when the task is another worker's by now: the service is there
                await self._resources.gate.settle(self._permit, None)

    async def _created_all_the_same(self, failure: StepError, speech: Speech) -> str | None:
        """The prediction that came of a creation which seems to have failed."""
        intent_at = self._segment.intent_at
        if intent_at is None:
            return None
        if failure.code == CREATE_FAILED:
            return await self._settlement.after_refusal(self._index, speech, intent_at)
        if failure.treatment is Treatment.AMBIGUOUS:
            return await self._settlement.once(self._index, speech, intent_at)
        return None

    async def _poll(self, prediction_id: str) -> None:
        with self._resources.wakeups.expect(prediction_id) as woken:
            prediction = await self._until_over(prediction_id, woken)
        if prediction is None:
            return
        if prediction.output_url is None:
            raise StepError(
                "prediction_canceled",
                "poll",
                f"prediction {prediction_id} was canceled, and not by us",
            )
        await self.start_download(prediction)

    async def _until_over(self, prediction_id: str, woken: asyncio.Event) -> Prediction | None:
        """The prediction when it is over, or None if there is something else to be done first."""
        prediction, self._seen = self._seen, None
        failures = 0
        pause = self._resources.poll_interval if prediction is not None else 0.0
        while prediction is None or prediction.state is PredictionState.RUNNING:
            await self._claimed.pause(pause, woken)
            if self._claimed.interrupted or self._claimed.now() >= self._claimed.task.deadline_at:
                return None
            woken.clear()
            try:
                prediction = await self._resources.predictions.get(prediction_id)
                failures = 0
                pause = self._resources.poll_interval
            except StepError as failure:
                # To look again costs nothing: an attempt ends only when it fails for long.
                failures += 1
                patient = failure.treatment in {Treatment.TRANSIENT, Treatment.THROTTLED}
                if not patient or failures > POLL_FAILURES:
                    raise
                pause = min(FIRST_POLL_PAUSE_SECONDS * 2**failures, POLL_PAUSE_CAP_SECONDS)
                pause = max(pause, failure.retry_after or 0.0)
        return prediction

    async def _download(self) -> None:
        audio = await self.fetch()
        if audio is None:
            return
        suspect = await self._is_suspect(audio)
        alone = len(self._claimed.task.segments) == 1
        key = None if alone else part_key(self._claimed.task.id, self._index)
        if key is not None:
            await self._resources.audio.put(key, audio.data, audio.info.content_type)
        await self._claimed.append(
            lambda task, now: task.complete_download(
                lease=self._claimed.lease,
                segment=self._index,
                size=len(audio.data),
                sha256=hashlib.sha256(audio.data).hexdigest(),
                duration=audio.info.duration,
                part=key,
                suspect=suspect,
                now=now,
            )
        )
        self.audio = audio if alone else None

    async def _is_suspect(self, audio: Audio) -> bool:
        """Whether the audio is too short for the text, and has to be taken all the same.

        Raises:
            StepError: it is to be spoken once more. Only once, and where another attempt is left:
                an estimate is no proof, and must not keep from a client what is paid for.
        """
        said = (await self._speech()).text
        if not too_short(said, audio.info.duration):
            return False
        task = self._claimed.task
        longest = timedelta(seconds=self._resources.policy.delay(task.attempt, lambda: 1.0))
        if (
            self._segment.suspected
            or task.attempt >= task.max_attempts
            or retry.creations(task, self._index) >= retry.MAX_CREATIONS
            or self._claimed.now() + longest >= task.deadline_at
        ):
            return True
        raise StepError(
            retry.SUSPECT_TRUNCATION,
            "download",
            f"{audio.info.duration:.1f} s of audio are too short for {len(said)} characters",
        )

    async def _record(self, prediction_id: str, *, found: bool) -> None:
        await self._claimed.append(
            lambda task, now: task.record_prediction(
                lease=self._claimed.lease,
                segment=self._index,
                prediction_id=prediction_id,
                model_version=self._resources.model_version,
                found=found,
                now=now,
            )
        )

    async def start_download(self, prediction: Prediction) -> None:
        """Record that the prediction succeeded, and where its output lies."""
        if prediction.output_url is None:
            raise ValueError(f"prediction {prediction.id} has no output")
        output_url = prediction.output_url
        if INLINE in output_url:  # the audio itself, which does not belong into the log
            output_url = INLINE
            self._seen = prediction
        await self._claimed.append(
            lambda task, now: task.start_download(
                lease=self._claimed.lease,
                segment=self._index,
                predict_time=prediction.predict_time,
                output_url=output_url,
                now=now,
            )
        )
        await self._resources.gate.leave(self._permit)

    async def fetch(self) -> Audio | None:
        """The output, or None when Replicate names another place for it, which is then recorded.

        Raises:
            StepError: at step ``download``, ``poll`` or ``inspect``.
        """
        state = self._segment
        if state.output_url is None or state.prediction_id is None:
            raise ValueError(f"segment {self._index} has no output to fetch")
        output_url: str | None = state.output_url
        if output_url == INLINE:
            seen, self._seen = self._seen, None
            seen = seen or await self._resources.predictions.get(state.prediction_id)
            output_url = seen.output_url
        try:
            data = await self._resources.predictions.download(output_url or INLINE)
        except StepError as failure:
            if failure.treatment is not Treatment.LOST:
                raise
            prediction = await self._resources.predictions.get(state.prediction_id)
            if prediction.output_url in {None, output_url}:
                raise
            await self.start_download(prediction)
            return None
        return Audio(data, self._resources.inspect(data))

    async def _speech(self) -> Speech:
        return await self._script.speech(self._index)


def permit(claimed: ClaimedTask, index: int) -> str:
    """The gate's name for the segment's prediction, the same for every worker."""
    return f"{claimed.task.id}:{index}"
