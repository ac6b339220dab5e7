"""The audio of a segment: from the prediction that succeeded to the bytes at hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from tts.domain import retry
from tts.domain.failures import StepError, Treatment
from tts.ports.audio import AudioInfo
from tts.ports.speech import Prediction
from tts.processor.claimed_segment import ClaimedSegment
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.text.speech_rate import too_short

INLINE = "data:"  # stands in the log for an output that is no address but the audio itself


@dataclass(frozen=True)
class Audio:
    """A segment's audio as it was fetched."""

    data: bytes
    info: AudioInfo


class SegmentDownload:
    """Fetches the output of one segment's prediction.

    ``audio`` keeps the audio of a task's only segment until it is stored; of several, each is
    stored as a part at once.
    """

    def __init__(self, segment: ClaimedSegment, resources: Resources, script: Script) -> None:
        self.audio: Audio | None = None
        self._segment = segment
        self._claimed = segment.claimed
        self._resources = resources
        self._script = script

    async def start(self, prediction: Prediction) -> None:
        """Record that the prediction succeeded, and where its output lies."""
        if prediction.output_url is None:
            raise ValueError(f"prediction {prediction.id} has no output")
        output_url = prediction.output_url
        if INLINE in output_url:  # the audio itself, which does not belong into the log
            output_url = INLINE
            self._segment.see(prediction)
        await self._claimed.append(
            lambda task, now: task.start_download(
                self._claimed.lease,
                segment=self._segment.index,
                predict_time=prediction.predict_time,
                output_url=output_url,
                now=now,
            )
        )
        await self._resources.gate.leave(self._segment.permit)

    async def fetch(self) -> Audio | None:
        """The output, or None when Replicate names another place for it, which is then recorded.

        Raises:
            StepError: at step ``download``, ``poll`` or ``inspect``.
        """
        state = self._segment.state
        if state.output_url is None or state.prediction_id is None:
            raise ValueError(f"segment {self._segment.index} has no output to fetch")
        output_url: str | None = state.output_url
        if output_url == INLINE:
            prediction = self._segment.take_seen()
            prediction = prediction or await self._resources.predictions.get(state.prediction_id)
            output_url = prediction.output_url
        try:
            data = await self._resources.predictions.download(output_url or INLINE)
        except StepError as failure:
            if failure.treatment is not Treatment.LOST:
                raise
            prediction = await self._resources.predictions.get(state.prediction_id)
            if prediction.output_url in {None, output_url}:
                raise
            await self.start(prediction)
            return None
        return Audio(data, self._resources.inspect(data))

    async def complete(self) -> None:
        """Fetch the output and record that it is whole.

        Raises:
            StepError: as :meth:`fetch`, and at step ``download`` when it is to be spoken once more.
        """
        audio = await self.fetch()
        if audio is None:
            return
        suspect = await self._is_suspect(audio)
        alone = len(self._claimed.task.segments) == 1
        key = None if alone else self._claimed.task.part_key(self._segment.index)
        if key is not None:
            await self._resources.audio.put(key, audio.data, audio.info.content_type)
        await self._claimed.append(
            lambda task, now: task.complete_download(
                self._claimed.lease,
                segment=self._segment.index,
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
        text = (await self._script.speech(self._segment.index)).text
        if not too_short(text, audio.info.duration):
            return False
        task = self._claimed.task
        longest = timedelta(seconds=self._resources.policy.delay(task.attempt, lambda: 1.0))
        if (
            self._segment.state.suspected
            or task.attempt >= task.max_attempts
            or retry.creations(task, self._segment.index) >= retry.MAX_CREATIONS
            or self._claimed.now() + longest >= task.deadline_at
        ):
            return True
        raise StepError(
            retry.SUSPECT_TRUNCATION,
            "download",
            f"{audio.info.duration:.1f} s of audio are too short for {len(text)} characters",
        )
