"""Our own processes, started as a user starts them."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import httpx

from tests.chaos.nursery import Nursery
from tests.services.ports import free_port
from tests.services.process import Process, ServiceError
from tests.waiting import wait_until


@cache
def _nursery() -> Nursery:
    nursery = Nursery()
    atexit.register(nursery.stop)
    return nursery


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a ``tts`` command to its end in ``folder``, with these settings alone."""
    return _nursery().run(folder, *arguments, env={"PATH": os.environ["PATH"], **env})


class _Fork:
    """A forked ``tts``, handled like a :class:`Process`."""

    def __init__(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self._child = _nursery().start(str(folder), *arguments, env=env)
        self._arguments = arguments
        self.pid = self._child.pid

    def check(self) -> None:
        """Raise with the end of the log if it is no longer running."""
        if not self._child.alive:
            raise ServiceError(f"tts {' '.join(self._arguments)} ended\n{self._child.log[-4000:]}")

    def stop(self, by: signal.Signals) -> None:
        """End it by SIGTERM or SIGKILL, and return when it is gone."""
        (self._child.kill if by is signal.SIGKILL else self._child.stop)()


class Tts:
    """One ``tts`` command; its working folder is new, so that no ``.env`` is read.

    It is forked from a process that has imported everything, which takes a second of a core.
    ``fresh`` starts an interpreter, as a shell does; what the dynamic linker is told needs that.
    """

    def __init__(
        self, *arguments: str, env: Mapping[str, str] | None = None, fresh: bool = False
    ) -> None:
        self._arguments = arguments
        self._env = {
            **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}},
            "LOG_FORMAT": "json",
            **(env or {}),
        }
        self._fresh = fresh
        self._folder = Path(tempfile.mkdtemp(prefix="tts-process-"))
        self._log = self._folder / "log"
        self._log.touch()
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        self._process = (
            Process(
                [sys.executable, "-m", "tts", *self._arguments],
                folder=self._folder,
                log=self._log,
                stop_signal=signal.SIGKILL,
                env=self._env,
            )
            if self._fresh
            else _Fork(self._arguments, self._folder, self._env)
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
    def log(self) -> str:
        """What it has printed so far, over all starts."""
        return self._log.read_text() if self._log.exists() else ""


class Up:
    """``tts up`` with its sandbox, which can be killed and started again."""

    def __init__(self, folder: Path, **env: str) -> None:
        port, sandbox_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.sandbox = f"http://127.0.0.1:{sandbox_port}"
        own = {"SANDBOX_PORT": str(sandbox_port), "REPLICATE_POLL_INTERVAL_MS": "50"}
        self.process = Tts("up", "--port", str(port), "--data", str(folder), env={**own, **env})
        self.process.wait_for(f"{self.url}/health")

    def restart(self) -> None:
        """``kill -9`` and a new start."""
        self.process.kill()
        self.process.start()
        self.process.wait_for(f"{self.url}/health")

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self.process.stop()
