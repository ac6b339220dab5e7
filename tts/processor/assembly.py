"""The last step: the audio of all segments becomes one object."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tts.domain.failures import StepError
from tts.processor.claimed_task import ClaimedTask
from tts.processor.download import Audio
from tts.processor.resources import Resources
from tts.processor.segment_run import SegmentRun
from tts.sound.join import join


class Assembly:
    """Stores the audio of the claimed task.

    ``fetching`` is the segment whose audio was being fetched again when a failure was raised.
    """

    def __init__(
        self, claimed: ClaimedTask, resources: Resources, segment_run: Callable[[int], SegmentRun]
    ) -> None:
        self.fetching: int | None = None
        self._claimed = claimed
        self._resources = resources
        self._segment_run = segment_run

    async def store(self) -> tuple[int, float]:
        """Store the whole audio; its size in bytes and its duration in seconds.

        Raises:
            StepError: at step ``audio``, or at ``download`` where a part had to be fetched again.
        """
        self.fetching = None
        key = self._claimed.task.audio_key
        if len(self._claimed.task.segments) > 1:
            return await self._store_joined(key)
        # The one who fetched it may have died since.
        audio = self._segment_run(0).download.audio or await self._fetch(0)
        await self._resources.audio.put(key, audio.data, audio.info.content_type)
        return len(audio.data), audio.info.duration

    async def _store_joined(self, key: str) -> tuple[int, float]:
        with tempfile.TemporaryDirectory(prefix="tts-") as folder:
            path = Path(folder) / key
            info = await join(self._parts(), path)
            await self._resources.audio.put_file(key, path, info.content_type)
            return path.stat().st_size, info.duration

    async def _parts(self) -> AsyncIterator[bytes]:
        for index, segment in enumerate(self._claimed.task.segments):
            try:
                yield await self._resources.audio.get(segment.part or "")
            except StepError as failure:
                if failure.code != "part_missing":
                    raise
                yield (await self._fetch(index)).data

    async def _fetch(self, index: int) -> Audio:
        self.fetching = index
        audio: Audio | None = None
        while audio is None:  # None: Replicate names another place, which is in the log now
            audio = await self._segment_run(index).download.fetch()
        self.fetching = None
        return audio
