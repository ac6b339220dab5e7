"""Finished audio in a local folder: the embedded deployment's store."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import shutil
import time
from collections.abc import Callable
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from uuid import uuid4

from tts.domain.failures import StepError
from tts.domain.naming import AUDIO_PREFIX, PART_PREFIX, PARTS_KEPT_DAYS
from tts.ports.audio import missing
from tts.ports.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

# Starts with no dot: it is no hidden file, no parent folder and none of our temporary ones.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
SWEEP_SECONDS = 600.0  # between two looks at what is old, each at every file
_OPERATOR_MUST_ACT = {EACCES, EDQUOT, ENOSPC, EPERM, EROFS}


class FolderAudio:
    """One file per object under ``root``, which the gateway serves at ``{base_url}/audio/``.

    Audio is removed after ``keep_days``, and kept for ever with 0. ``observe`` is told now and then
    how many files and bytes there are.
    """

    def __init__(
        self,
        root: Path,
        base_url: str,
        *,
        keep_days: int = 0,
        observe: Callable[[int, int], None] = lambda _files, _size: None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._days = {PART_PREFIX: PARTS_KEPT_DAYS}
        if keep_days:
            self._days[AUDIO_PREFIX] = keep_days
        self._observe = observe
        self._swept_at = -math.inf
        self._base_url = base_url.rstrip("/")

    def path(self, key: str) -> Path:
        """The file of ``key``, there or not.

        Raises:
            ValueError: it is no key, and must not become a path.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not an object key")
        return self._root / key

    async def put(
        self,
        key: str,
        data: bytes,
        content_type: str,  # noqa: ARG002 -- the gateway tells it from the key's suffix
    ) -> None:
        """Write the whole file or nothing; when this returns, it is on disk."""
        await self._call(self._write, self.path(key), BytesIO(data))

    async def put_file(
        self,
        key: str,
        path: Path,
        content_type: str,  # noqa: ARG002 -- as in put()
    ) -> None:
        """Copy the whole file or nothing; when this returns, it is on disk."""
        await self._call(self._copy, self.path(key), path)

    async def get(self, key: str) -> bytes:
        """The file's contents."""
        try:
            return await self._call(self.path(key).read_bytes)
        except FileNotFoundError as error:
            raise missing(key) from error

    async def delete(self, key: str) -> None:
        """Remove the file; one that is not there is fine."""
        await self._call(partial(self.path(key).unlink, missing_ok=True))

    async def ready(self) -> None:
        """Return if a file can be written.

        Raises:
            Unavailable: it cannot.
        """
        try:
            await self._call(self._try_out)
        except StepError as error:
            raise Unavailable(error.message) from error

    def url(self, key: str) -> str:
        """Where the gateway serves the file."""
        return f"{self._base_url}/audio/{self.path(key).name}"

    async def aclose(self) -> None:
        """Nothing is held open between calls; here because a bucket does hold connections."""

    async def _call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _translated(error) from error

    def _try_out(self) -> None:
        probe = self._root / f".{uuid4()}"
        try:
            probe.write_bytes(bytes(1 << 12))
        finally:
            probe.unlink(missing_ok=True)

    def _copy(self, path: Path, source: Path) -> None:
        with source.open("rb") as file:
            self._write(path, file)

    def _sweep(self) -> None:
        """Remove what is older than it is to be kept, and count the rest.

        A bucket has lifecycle rules and figures of its own.
        """
        if time.monotonic() < self._swept_at + SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        files = size = 0
        with os.scandir(self._root) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                    found = entry.stat()
                    if found.st_mtime < self._oldest(entry.name):
                        Path(entry).unlink()
                    else:
                        files, size = files + 1, size + found.st_size
        self._observe(files, size)

    def _oldest(self, name: str) -> float:
        """Since when a file of that name is kept."""
        days = (days for prefix, days in self._days.items() if name.startswith(prefix))
        return time.time() - next(days, math.inf) * 86_400

    def _write(self, path: Path, data: BinaryIO) -> None:
        temporary = self._root / f".{uuid4()}"
        try:
            with temporary.open("xb") as file:
                shutil.copyfileobj(data, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        # The rename itself is on disk only once the folder is.
        folder = os.open(self._root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._sweep()


def _translated(error: OSError) -> StepError:
    code = "audio_refused" if error.errno in _OPERATOR_MUST_ACT else "audio_unavailable"
    return StepError(code, "audio", f"The audio folder: {error.strerror}")
