"""Finished audio in a local folder: the embedded deployment's store."""

from __future__ import annotations

import asyncio
import os
import re
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from uuid import uuid4

from tts.ports import StepError

# Starts with no dot: it is no hidden file, no parent folder and none of our temporary ones.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_OPERATOR_MUST_ACT = {EACCES, EDQUOT, ENOSPC, EPERM, EROFS}


class FolderAudio:
    """One file per object under ``root``, which the gateway serves at ``{base_url}/audio/``."""

    def __init__(self, root: Path, base_url: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
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
        path = self.path(key)
        try:
            await asyncio.to_thread(self._write, path, data)
        except OSError as error:
            raise _translated(error) from error

    async def delete(self, key: str) -> None:
        """Remove the file; one that is not there is fine."""
        path = self.path(key)
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            raise _translated(error) from error

    def url(self, key: str) -> str:
        """Where the gateway serves the file."""
        return f"{self._base_url}/audio/{self.path(key).name}"

    async def aclose(self) -> None:
        """Nothing is held open between calls; here because a bucket does hold connections."""

    def _write(self, path: Path, data: bytes) -> None:
        temporary = self._root / f".{uuid4()}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
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


def _translated(error: OSError) -> StepError:
    code = "store_refused" if error.errno in _OPERATOR_MUST_ACT else "store_unavailable"
    return StepError(code, "store", f"The audio folder: {error.strerror}")
