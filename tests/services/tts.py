"""Our own processes, started as a user starts them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.services.process import Process
from tests.waiting import wait_until


class Tts:
    """One ``tts`` command; its working folder is new, so that no ``.env`` is read."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._env = {
            **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}},
            "LOG_FORMAT": "json",
            **(env or {}),
        }
        self._folder = Path(tempfile.mkdtemp(prefix="tts-process-"))
        self._log = self._folder / "log"
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        self._process = Process(
            [sys.executable, "-m", "tts", *self._arguments],
            folder=self._folder,
            log=self._log,
            stop_signal=signal.SIGKILL,
            env=self._env,
        )

    def wait_for(self, url: str) -> None:
        """Return when ``url`` answers with success; fail at once when the process ends before."""

        def answers() -> bool:
            self._process.check()
            try:
                return httpx.get(url, timeout=5, trust_env=False).is_success
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, f"{url} answers")
        except BaseException:
            self.kill()
            shutil.rmtree(self._folder)
            raise

    def kill(self) -> None:
        """``kill -9``."""
        self._process.stop(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, wait for the end, and remove the folder with the log."""
        self._process.stop(signal.SIGTERM)
        shutil.rmtree(self._folder)

    @property
    def pid(self) -> int:
        """The process that runs now."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.running

    @property
    def exit_code(self) -> int | None:
        """What it ended with; negative for a signal, None while it runs."""
        return self._process.exit_code

    @property
    def log(self) -> str:
        """What it has printed so far, over all starts."""
        return self._log.read_text()
