"""Where finished audio lies."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tts.domain.failures import StepError


class AudioStore(Protocol):
    """Where finished audio lies."""

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store (or overwrite) the object.

        Raises:
            StepError: at step ``audio``.
        """
        ...

    async def put_file(self, key: str, path: Path, content_type: str) -> None:
        """Store (or overwrite) the object with the file's contents, a piece in memory at a time.

        Raises:
            StepError: at step ``audio``.
        """
        ...

    async def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            StepError: at step ``audio``; ``part_missing`` if there is none.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        ...

    async def ready(self) -> None:
        """Return if audio can be stored; a small operation.

        Raises:
            Unavailable: it cannot.
        """
        ...

    def url(self, key: str) -> str:
        """Where a client fetches the object; no I/O."""
        ...


def missing(key: str) -> StepError:
    """The failure to read an object that is not there."""
    return StepError("part_missing", "audio", f"the audio {key} is gone")
