"""The last step: the audio of all segments becomes one object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from tts.domain.failures import StepError
from tts.domain.values import AudioFormat
from tts.processor.claimed_task import ClaimedTask
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.segment_run import SegmentRun
from tts.sound.join import join
from tts.sound.recording import Recording
from tts.text.pauses import pause_seconds


class Assembly:
    """Stores the audio of the claimed task.

    ``fetching`` is the segment whose audio was being fetched again when a failure was raised.
    """

    def __init__(
        self,
        claimed: ClaimedTask,
        resources: Resources,
        script: Script,
        segment_run: Callable[[int], SegmentRun],
    ) -> None:
        self.fetching: int | None = None
        self._claimed = claimed
        self._resources = resources
        self._script = script
        self._segment_run = segment_run

    async def store(self) -> tuple[int, float] | None:
        """Store the whole audio; its size in bytes and its duration in seconds.

        None if the task has news before that.

        Raises:
            StepError: at step ``audio``, or at ``download`` where a part had to be fetched again.
        """
        self.fetching = None
        key = self._claimed.task.audio_key
        if len(self._claimed.task.segments) > 1:
            return await self._resources.storing.store(
                lambda: self._store_joined(key),
                until=self._claimed.held_until,
                changed=self._claimed.changed,
            )
        download = self._segment_run(0).download
        # The one who fetched it may have died since.
        download.recording = recording = download.recording or await self._fetch(0)
        size = await download.put(key, recording, self._audio_format)
        return None if size is None else (size, recording.duration)

    async def forget(self) -> None:
        """The log knows that the audio is stored."""
        await self._segment_run(0).download.forget()

    @property
    def _audio_format(self) -> AudioFormat:
        return AudioFormat(self._claimed.task.audio_format)

    async def _store_joined(self, key: str) -> tuple[int, float]:
        text = (await self._script.payload()).text
        joints = [segment.start for segment in self._claimed.task.segments[1:]]
        pauses = [pause_seconds(text, at) for at in joints]
        async with self._resources.workplace.file() as path:
            with path.open("wb") as file:
                duration = await join(self._parts(), file, pauses, audio_format=self._audio_format)
            await self._resources.audio.put_file(key, path, self._audio_format.content_type)
            return path.stat().st_size, duration

    async def _parts(self) -> AsyncIterator[bytes]:
        for index, segment in enumerate(self._claimed.task.segments):
            try:
                yield await self._resources.audio.get(segment.part or "")
            except StepError as failure:
                if failure.code != "part_missing":
                    raise
                yield (await self._fetch(index)).data

    async def _fetch(self, index: int) -> Recording:
        self.fetching = index
        recording: Recording | None = None
        while recording is None:  # None: Replicate names another place, which is in the log now
            recording = await self._segment_run(index).download.fetch()
        self.fetching = None
        return recording
