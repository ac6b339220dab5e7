"""Where long audio is put together: a folder of ours, never the machine's place for such things."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

from tts.domain.failures import StepError
from tts.ports.errors import Unavailable
from tts.processor import kept_audio

KEPT_SECONDS = 86_400  # what a process that was killed has left
_PROBE = bytes(1 << 12)


class Workplace:
    """The folder, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.asynccontextmanager
    async def file(self) -> AsyncIterator[Path]:
        """An empty file, which is gone at the end.

        Raises:
            StepError: ``workplace_refused``: it, or what is written in between, cannot be.
        """
        path = self._folder / f"{uuid4()}.audio"
        try:
            await asyncio.to_thread(self._prepare, path)
            yield path
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            message = f"Long audio cannot be put together: {error.strerror}"
            raise StepError("workplace_refused", "audio", message) from error
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    async def ready(self) -> None:
        """Return if there is room for a file.

        Raises:
            Unavailable: there is not.
        """
        try:
            async with self.file() as path:
                await asyncio.to_thread(path.write_bytes, _PROBE)
        except StepError as error:
            raise Unavailable(f"DATA_DIR: {error.message}") from error

    def _prepare(self, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
        now = time.time()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    waits = entry.name.startswith(kept_audio.PREFIX)
                    longest = kept_audio.KEPT_SECONDS if waits else KEPT_SECONDS
                    if entry.stat().st_mtime < now - longest:
                        Path(entry).unlink()
