"""The last step: the audio of all segments becomes one object."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tts.domain.failures import StepError
from tts.domain.naming import object_key
from tts.processor.claimed_task import Hold
from tts.processor.resources import Outside
from tts.processor.segment_run import Audio, Speaking
from tts.sound.join import join


class Delivery:
    """Stores the audio of the task that is held.

    ``fetching`` is the segment whose audio was being fetched again when a failure was raised.
    """

    def __init__(
        self, hold: Hold, outside: Outside, speaking_of: Callable[[int], Speaking]
    ) -> None:
        self.fetching: int | None = None
        self._hold = hold
        self._outside = outside
        self._speaking_of = speaking_of

    async def store(self) -> tuple[int, float]:
        """Store the whole audio; its size in bytes and its duration in seconds.

        Raises:
            StepError: at step ``store``, or at ``download`` where a part had to be fetched again.
        """
        self.fetching = None
        key = object_key(self._hold.task.id)
        if len(self._hold.task.segments) > 1:
            return await self._store_joined(key)
        # The one who fetched it may have died since.
        audio = self._speaking_of(0).audio or await self._fetch(0)
        await self._outside.audio.put(key, audio.data, audio.info.content_type)
        return len(audio.data), audio.info.duration

    async def _store_joined(self, key: str) -> tuple[int, float]:
        with tempfile.TemporaryDirectory(prefix="tts-") as folder:
            path = Path(folder) / key
            info = await join(self._parts(), path)
            await self._outside.audio.put_file(key, path, info.content_type)
            return path.stat().st_size, info.duration

    async def _parts(self) -> AsyncIterator[bytes]:
        for index, segment in enumerate(self._hold.task.segments):
            try:
                yield await self._outside.audio.get(segment.part or "")
            except StepError as failure:
                if failure.code != "part_missing":
                    raise
                yield (await self._fetch(index)).data

    async def _fetch(self, index: int) -> Audio:
        self.fetching = index
        audio: Audio | None = None
        while audio is None:  # None: Replicate names another place, which is in the log now
            audio = await self._speaking_of(index).fetch()
        self.fetching = None
        return audio
