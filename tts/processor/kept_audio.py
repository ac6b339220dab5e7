"""Audio that was fetched and cannot be stored yet: it outlives the attempt and the process.

Replicate removes an output after an hour, and what is lost then would be paid for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

logger = logging.getLogger(__name__)

PREFIX = "kept-"
KEPT_SECONDS = 14 * 86_400  # what nobody has asked for since is nobody's


class KeptAudio:
    """Files in ``folder``, together no more than ``max_bytes``; ``observe`` learns how many are.

    What cannot be kept is only in memory then, and at Replicate: that is no reason to fail.
    """

    def __init__(
        self, folder: Path, max_bytes: int, *, observe: Callable[[int], None] = lambda _: None
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._observe = observe

    async def keep(self, task_id: UUID, segment: int, prediction_id: str, data: bytes) -> None:
        """Keep the audio of a segment's prediction on disk, if there is room."""
        path = self._path(task_id, segment, prediction_id)
        try:
            await asyncio.to_thread(self._write, path, data)
        except OSError as error:
            logger.warning(
                "Audio that cannot be stored is in memory only: DATA_DIR: %s", error.strerror
            )

    async def read(self, task_id: UUID, segment: int, prediction_id: str) -> bytes | None:
        """What is kept of that prediction; None if nothing is."""
        path = self._path(task_id, segment, prediction_id)
        if not path.exists():  # nearly always, and a look takes less than a thread
            return None
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(path.read_bytes)
        return None

    async def forget(self, task_id: UUID, segment: int, prediction_id: str) -> None:
        """It is stored, or nobody wants it any more."""
        await asyncio.to_thread(self._remove, self._path(task_id, segment, prediction_id))

    def _path(self, task_id: UUID, segment: int, prediction_id: str) -> Path:
        # What Replicate calls a prediction must not choose a path.
        digest = hashlib.sha256(prediction_id.encode()).hexdigest()[:16]
        return self._folder / f"{PREFIX}{task_id}-{segment}-{digest}"

    def _write(self, path: Path, data: bytes) -> None:
        if path.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._bytes()
        if kept + len(data) > self._max_bytes:
            logger.warning(
                "Audio that cannot be stored is in memory only: %d bytes are kept already", kept
            )
            return
        unfinished = self._folder / f"{PREFIX}{uuid4()}.part"
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self._observe(kept + len(data))

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()
            self._observe(self._bytes())

    def _bytes(self) -> int:
        size = 0
        for file in self._folder.glob(f"{PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                size += file.stat().st_size
        return size
