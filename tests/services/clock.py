"""A clock that is wrong, and that a test can set while processes read it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.services.process import ServiceError, folder

_LIBRARY = "faketime/libfaketimeMT.so.1"


def _library() -> str:
    for place in (*Path("/usr/lib").glob(f"*/{_LIBRARY}"), *Path("/usr/lib64").glob(_LIBRARY)):
        return str(place)
    raise ServiceError("libfaketime is missing; mend it with: apt-get install -y faketime")


class Clock:
    """The wall clock of one machine, ``offset`` seconds ahead of the true one.

    It holds for processes that are started with ``env``; monotonic clocks run on, as they do when a
    machine's time is corrected. A process sees a new offset at its next look at the clock.
    """

    def __init__(self, offset: float = 0) -> None:
        self._folder = folder("tts-clock-")
        self._folder.chmod(0o755)  # servers run under accounts of their own
        self._file = self._folder / "offset"
        self.set(offset)

    @property
    def env(self) -> dict[str, str]:
        """To be merged into the environment of a process."""
        return {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # files keep their true times
        }

    def set(self, offset: float) -> None:
        """Be ``offset`` seconds ahead from now on; negative is behind."""
        self.offset = offset
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+f}\n")
        os.replace(new, self._file)  # noqa: PTH105 -- nobody may read half of it

    def step(self, seconds: float) -> None:
        """Jump ahead, or back if negative."""
        self.set(self.offset + seconds)

    def remove(self) -> None:
        """Remove its file; the processes that read it have ended."""
        shutil.rmtree(self._folder)
