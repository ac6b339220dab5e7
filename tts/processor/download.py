"""The audio of a segment: from the prediction that succeeded to the bytes at hand."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from tts.domain import retry
from tts.domain.failures import StepError, Treatment
from tts.domain.values import AudioFormat
from tts.ports.speech import Prediction
from tts.processor.claimed_segment import ClaimedSegment
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.sound.encoding import encoded
from tts.sound.reading import NotAudio
from tts.sound.recording import Recording, is_quick, record
from tts.sound.threads import computed
from tts.text.segments import speakable
from tts.text.speech_rate import too_short

INLINE = "data:"  # stands in the log for an output that is no address but the audio itself


@dataclass(frozen=True)
class Suspicion:
    """Why the audio may not be the text: it is ``short`` for it, or ``silent``, and no speech."""

    short: bool
    silent: bool


class SegmentDownload:
    """Fetches the output of one segment's prediction.

    ``recording`` keeps that of a task's only segment until it is stored; of several, each is stored
    as a part at once.
    """

    def __init__(self, segment: ClaimedSegment, resources: Resources, script: Script) -> None:
        self.recording: Recording | None = None
        self._kept = False
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
        self._resources.gate.leave(self._segment.permit)

    async def fetch(self) -> Recording | None:
        """The output, or None when Replicate names another place for it, which is then recorded.

        Raises:
            StepError: at step ``download`` or ``poll``.
        """
        state = self._segment.state
        if state.output_url is None or state.prediction_id is None:
            raise ValueError(f"segment {self._segment.index} has no output to fetch")
        kept = await self._resources.kept.read(*self._name)
        if kept is not None:
            self._kept = True
            return await asyncio.to_thread(record, kept)
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
        try:
            return record(data) if is_quick(data) else await asyncio.to_thread(record, data)
        except NotAudio as error:
            message = f"The output is not audio: {error}"
            raise StepError("not_audio", "download", message) from error

    async def put(
        self, key: str, recording: Recording, audio_format: AudioFormat = AudioFormat.WAV
    ) -> int | None:
        """Store the audio, however long the store is away, and return its size in bytes.

        None if the task has news before that.

        Raises:
            StepError: at step ``audio``.
        """
        claimed, storing = self._claimed, self._resources.storing

        data = await self._encoded(recording, audio_format)

        async def put() -> int:
            try:
                await self._resources.audio.put(key, data, audio_format.content_type)
            except StepError:
                await self._keep(recording)
                raise
            return len(data)

        if storing.away:
            await self._keep(recording)
        until, changed = claimed.held_until, claimed.changed
        return await storing.store(put, until=until, changed=changed)

    async def _encoded(self, recording: Recording, audio_format: AudioFormat) -> bytes:
        if audio_format is AudioFormat.WAV:
            return recording.data  # it is one, and no thread has to say so
        try:
            return await computed(encoded, recording, audio_format)
        except StepError:
            await self._keep(recording)
            raise

    async def forget(self) -> None:
        """Whatever is kept of the audio is not needed any more."""
        if self._kept:
            await self._resources.kept.forget(*self._name)

    async def _keep(self, recording: Recording) -> None:
        if not self._kept:
            self._kept = True
            await self._resources.kept.keep(*self._name, recording.data)

    @property
    def _name(self) -> tuple[UUID, int, str]:
        index = self._segment.index
        return self._claimed.task.id, index, self._segment.state.prediction_id or ""

    async def complete(self) -> None:
        """Fetch the output and record that it is whole.

        Raises:
            StepError: as :meth:`fetch`, and at step ``download`` when it is to be spoken once more.
        """
        recording = await self.fetch()
        if recording is None:
            return
        suspicion = await self._suspicion(recording)
        alone = len(self._claimed.task.segments) == 1
        key = None if alone else self._claimed.task.part_key(self._segment.index)
        if key is not None and await self.put(key, recording) is None:
            return
        await self._claimed.append(
            lambda task, now: task.complete_download(
                self._claimed.lease,
                segment=self._segment.index,
                size=len(recording.data),
                sha256=hashlib.sha256(recording.data).hexdigest(),
                duration=recording.duration,
                part=key,
                suspect=suspicion.short,
                suspect_audio=suspicion.silent,
                now=now,
            )
        )
        self.recording = recording if alone else None
        if not alone:
            await self.forget()

    async def _suspicion(self, recording: Recording) -> Suspicion:
        """What is suspected of the audio, which has to be taken all the same.

        Raises:
            StepError: it is to be spoken once more. Only once for whatever suspicion, and where
                another attempt is left: none is a proof, and must not keep from a client what is
                paid for.
        """
        text = (await self._script.speech(self._segment.index)).text
        silent = speakable(text) and not recording.is_speech
        suspicion = Suspicion(too_short(text, recording.duration), silent)
        if not (suspicion.short or suspicion.silent) or not self._can_be_spoken_anew():
            return suspicion
        if suspicion.silent:
            raise StepError(retry.SUSPECT_AUDIO, "download", "The output is not speech: silence")
        raise StepError(
            retry.SUSPECT_TRUNCATION,
            "download",
            f"{recording.duration:.1f} s of audio are too short for {len(text)} characters",
        )

    def _can_be_spoken_anew(self) -> bool:
        task = self._claimed.task
        longest = timedelta(seconds=self._resources.policy.delay(task.attempt, lambda: 1.0))
        return not (
            self._segment.state.suspected
            or task.attempt >= task.max_attempts
            or retry.creations(task, self._segment.index) >= retry.MAX_CREATIONS
            or self._claimed.now() + longest >= task.deadline_at
        )
