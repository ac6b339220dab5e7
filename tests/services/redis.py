"""A private Redis."""

from __future__ import annotations

import shutil
import signal

from tests.services.ports import free_port, listening
from tests.services.process import Process, User, program
from tests.waiting import wait_until


class Redis:
    """A server that answers a write when it is on disk: ``appendfsync always``, as a log needs."""

    def __init__(self) -> None:
        user = User("redis")
        self._folder = user.folder("tts-redis-")
        self.port = free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = Process(
            user.command([program("redis-server", "redis-server"), *arguments]),
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGKILL,
        )
        wait_until(lambda: listening(self.port), "Redis listens")

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End it and remove its data."""
        self._process.stop(signal.SIGKILL)
        shutil.rmtree(self._folder)
