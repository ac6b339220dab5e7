"""How many clients a process has room for: each connection is a file, and so is all its work.

Streams are refused first, then connections, so that tasks go on when few files may be open.
"""

from __future__ import annotations

import logging
import resource
from pathlib import Path

from gateway.errors import NoRoom
from tts.config import ConfigError

logger = logging.getLogger(__name__)

OPEN_FILES = Path("/proc/self/fd")
KEPT_MOST = 512  # files for what the parts of this process open later
FEW = 1024
RETRY_SECONDS = 10


class Room:
    """``files`` may be open at a time; ``used`` are, and stay so.

    >>> room = Room(files=128, used=33)
    >>> room.clients, room.streams_most
    (58, 38)

    Raises:
        ConfigError: that is no room at all.
    """

    def __init__(self, *, files: int, used: int) -> None:
        self._files = files
        self.clients = files - used - min(files // 4, KEPT_MOST) - 5
        self.streams_most = self.clients * 2 // 3
        self._streams = 0
        if self.streams_most < 1:
            raise ConfigError(f"only {files} files may be open at a time: raise ulimit -n")
        self._was_full = False
        if files < FEW:
            logger.warning("%s", self._sentence)

    @classmethod
    def of_process(cls) -> Room:
        """What the limits of this process leave."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return cls(files=files, used=sum(1 for _ in OPEN_FILES.iterdir()))

    def enter(self, connections: int) -> bool:
        """Whether there is room for one more connection beside those and the streams."""
        full = connections + self._streams >= self.clients
        self._was_full |= full
        return not full

    def take_stream(self) -> None:
        """Count a stream, which is to leave with :meth:`leave_stream`.

        Raises:
            NoRoom: it is one too many.
        """
        if self._streams >= self.streams_most:
            self._was_full = True
            raise NoRoom("no room for another stream", retry_after=RETRY_SECONDS)
        self._streams += 1

    def leave_stream(self) -> None:
        """It has ended."""
        self._streams -= 1

    @property
    def note(self) -> str:
        """What an operator should know; empty as long as nobody was refused."""
        return self._sentence if self._was_full else ""

    @property
    def _sentence(self) -> str:
        return (
            f"Only {self._files} files may be open at a time (ulimit -n), which leaves room for "
            f"{self.streams_most} streams and {self.clients} connections: raise it"
        )
