"""A server process that cannot outlive the test run.

A watchdog sits beside each server and reads a pipe whose other end only the test run holds. When
the run ends in any way, SIGKILL included, the kernel closes the pipe, and the watchdog stops the
server and removes its folder. PR_SET_PDEATHSIG would be shorter, but it fires when the *thread*
that started the server ends, is cleared by a change of user, and leaves the folder behind.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_WATCHDOG = """
cat >/dev/null
kill -s "$1" "$2"
for _ in $(seq 100); do kill -0 "$2" 2>/dev/null || break; sleep 0.1; done
kill -s KILL "$2" 2>/dev/null
rm -rf -- "$3"
"""


class ServiceError(Exception):
    """A server cannot be started; the message says why, and what to do about it."""


def program(path: str, package: str) -> str:
    """``path`` if it is there, else the failure that names the Debian package."""
    if found := shutil.which(path):
        return found
    raise ServiceError(f"{path} is missing; mend it with: apt-get install -y {package}")


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Poll until ``ready()``, or raise TimeoutError that says ``what`` did not happen."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class User:
    """The account that a server runs under: ``name`` if we are root, else our own."""

    def __init__(self, name: str) -> None:
        self._account = pwd.getpwnam(name) if os.geteuid() == 0 else None

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command that runs ``arguments`` under the account."""
        if self._account is None:
            return list(arguments)
        uid, gid = self._account.pw_uid, self._account.pw_gid
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--", *arguments]

    def own(self, path: Path) -> Path:
        """Give ``path`` to the account."""
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)
        return path

    def folder(self, prefix: str) -> Path:
        """A new folder of the account, outside pytest's, which is closed to other accounts."""
        return self.own(Path(tempfile.mkdtemp(prefix=prefix)))


class Process:
    """One server and its watchdog; ``stop_signal`` is how both ask it to end at once."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        stop_signal: signal.Signals,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            # Sessions of their own: Ctrl-C and a kill of the run's group hit the run alone, and
            # what follows is the watchdog's to decide.
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=env,
                start_new_session=True,
            )
        self._watchdog = subprocess.Popen(
            ["sh", "-c", _WATCHDOG, "watchdog", stop_signal.name[3:], str(self.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The server's process id (the setpriv in front of it execs)."""
        return self._server.pid

    def check(self) -> None:
        """Raise with the end of the log if the server is no longer running."""
        if self._server.poll() is not None:
            tail = self._log.read_text(errors="replace")[-4000:]
            raise ServiceError(f"{self._server.args!r} ended: {self._server.returncode}\n{tail}")

    def stop(self, by: signal.Signals, seconds: float = 30) -> None:
        """Send ``by`` and wait for the end; after ``seconds``, kill and raise."""
        self._server.send_signal(by)
        try:
            self._server.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self._server.kill()
            self._server.wait()
            raise ServiceError(f"{self._server.args!r} did not end on {by.name}") from error
        finally:
            self._watchdog.kill()
            self._watchdog.communicate()
