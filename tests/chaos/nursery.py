"""Our processes by the dozen: forked from one that has imported everything.

A crash test starts the service some fifty times, and importing it takes seconds each time. What is
forked is a process like any other: ``kill -9`` is one, and so are its files, sockets and locks.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tests.services.process import Process, ServiceError
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1
# What a command imports, and what it would import later.
IMPORTED = (
    "tts.cli.processes",
    "tts.audio.minio",
    "tts.cli.gateway",
    "tts.http.aiohttp_transport",
    "tts.observability.monitor",
    "tts.processor.task_run",
    "tts.queue.rabbitmq",
    "tts.sandbox.voice",
    "tts.store.postgres",
    "tts.store.signals",
    "projections.postgres",
    "replicate.client",
)


class Nursery:
    """Starts ``tts`` commands, each with the environment that it is given and no other.

    ``folder`` outlives it if it is given; the logs lie there. With ``env`` of a
    :class:`~tests.services.clock.Clock`, each command may be given a clock of its own.
    """

    def __init__(self, folder: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self._own = Path(tempfile.mkdtemp(prefix="tts-nursery-"))
        self.folder = folder or self._own
        self._socket = self._own / "orders"
        self._base = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
        self._process = Process(
            [sys.executable, "-m", "tests.chaos.nursery", str(self._socket)],
            folder=self._own,
            log=self._own / "log",
            stop_signal=signal.SIGKILL,
            env={**self._base, **(env or {}), "PYTHONPATH": str(ROOT)},
        )
        wait_until(self._ready, "the nursery listens")

    def start(
        self, name: str, *arguments: str, env: Mapping[str, str], dies: str | None = None
    ) -> Child:
        """Run ``tts`` with the arguments; ``dies`` is a point of :mod:`tests.chaos.mortal`."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        order = {
            "folder": str(folder),
            "arguments": arguments,
            "env": {**self._base, "LOG_FORMAT": "json", **env},
            "output": ["log", "log"],
            "dies": dies,
        }
        return Child(name, self._ordered(order), folder)

    def run(
        self, folder: Path, *arguments: str, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run ``tts`` in ``folder`` to its end."""
        files = [self._own / "stdout", self._own / "stderr"]
        order = {
            "folder": str(folder),
            "arguments": arguments,
            "env": dict(env),
            "output": list(map(str, files)),
            "dies": None,
            "waits": True,
        }
        status = self._ordered(order)
        stdout, stderr = (file.read_text() for file in files)
        for file in files:
            file.unlink()
        return subprocess.CompletedProcess(arguments, status, stdout, stderr)

    def _ordered(self, order: Mapping[str, object]) -> int:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._socket))
            client.sendall(json.dumps(order).encode() + b"\n")
            return int(client.makefile().readline())

    def stop(self) -> None:
        """Kill every child, and remove what is ours."""
        self._process.stop(signal.SIGKILL)
        shutil.rmtree(self._own, ignore_errors=True)

    def _ready(self) -> bool:
        self._process.check()
        return self._socket.exists()


class Child:
    """One forked process, by its pidfd: no other can be hit by accident."""

    def __init__(self, name: str, pid: int, folder: Path) -> None:
        self.name = name
        self.pid = pid
        self.folder = folder
        self._fd = os.pidfd_open(pid)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not select.select([self._fd], [], [], 0)[0]

    @property
    def died_at(self) -> str | None:
        """The point that it died at as ordered, else None."""
        path = self.folder / f"epitaph.{self.pid}"
        return path.read_text() if path.exists() else None

    @property
    def log(self) -> str:
        """What it and its predecessors of that name have printed."""
        return (self.folder / "log").read_text(errors="replace")

    def kill(self) -> None:
        """``kill -9``, and return when it is gone."""
        self._end(signal.SIGKILL, 90)

    def stop(self, seconds: float = 90) -> None:
        """SIGTERM, and return when it is gone."""
        self._end(signal.SIGTERM, seconds)

    def freeze(self) -> None:
        """SIGSTOP: it is there, and does nothing any more, until :meth:`thaw`."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, as if no time had passed."""
        self._send(signal.SIGCONT)

    def _send(self, by: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, by)

    def _end(self, by: signal.Signals, seconds: float) -> None:
        self._send(by)
        if not select.select([self._fd], [], [], seconds)[0]:
            raise ServiceError(f"{self.name} did not end on {by.name} within {seconds} s")


# --- the process that the children come from


def serve(path: str) -> None:
    """Fork a child for each order that arrives at the socket."""
    for module in IMPORTED:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to reap them
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen()
        Path(f"{path}.new").rename(path)
        while True:
            client, _ = listener.accept()
            with client:
                order = json.loads(client.makefile().readline())
                pid = os.fork()
                if pid == 0 and order.get("waits"):
                    _wait(order, client)
                if pid == 0:
                    _live(order)
                if not order.get("waits"):
                    client.sendall(f"{pid}\n".encode())


def _wait(order: dict, client: socket.socket) -> None:
    """Tell the client how the order ended; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _live(order)
    _, status = os.waitpid(pid, 0)
    client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _live(order: dict) -> None:
    """What a fresh interpreter would do; never returns."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(order["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in enumerate(order["output"], 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.closerange(3, 64)
        os.environ.clear()
        os.environ.update(order["env"])
        if order["dies"] is not None:
            from tests.chaos import mortal  # noqa: PLC0415

            mortal.arm(order["dies"], Path(f"epitaph.{os.getpid()}").absolute())
        from tts.cli.commands import main  # noqa: PLC0415

        main(args=order["arguments"], prog_name="tts")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 -- the log is all that tells of it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
