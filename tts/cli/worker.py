"""What one of several processes that serve one port is given by the one that started it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

VARIABLE = "TTS_WORKER"


@dataclass(frozen=True, slots=True)
class Worker:
    """Its ``number``, and file descriptors.

    ``listener`` is a socket that listens, None for a process that serves nobody. ``lifeline`` ends
    when the supervisor does. To ``ready`` a byte is written when the work has begun. In ``folder``
    the workers have sockets, by which they ask each other for metrics.
    """

    number: int
    listener: int | None
    lifeline: int
    ready: int
    folder: str

    def environment(self) -> dict[str, str]:
        """How it is handed over."""
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def descriptors(self) -> list[int]:
        """Those that the process has to inherit."""
        listener = [] if self.listener is None else [self.listener]
        return [*listener, self.lifeline, self.ready]

    def socket(self) -> socket.socket:
        """The socket that listens."""
        if self.listener is None:
            raise ValueError(f"worker {self.number} serves nobody")
        return socket.socket(fileno=os.dup(self.listener))

    def say_ready(self) -> None:
        """The work has begun."""
        with contextlib.suppress(OSError):  # nobody waits for it any more
            os.write(self.ready, b"1")

    def watch(self, stop: Callable[[], object]) -> None:
        """Call ``stop`` when the supervisor is gone: nobody would, otherwise."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self.lifeline)
            stop()

        loop.add_reader(self.lifeline, gone)


def inherited() -> Worker | None:
    """What this process was given; None if it was started by somebody else."""
    given = os.environ.get(VARIABLE)
    return Worker(**json.loads(given)) if given else None
