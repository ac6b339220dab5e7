"""A server process that cannot outlive the test run.

A watchdog sits beside each server and reads a pipe whose other end only the test run holds. When
the run ends in any way, SIGKILL included, the kernel closes the pipe, and the watchdog stops the
server and removes its folder. PR_SET_PDEATHSIG would be shorter, but it fires when the *thread*
that started the server ends, is cleared by a change of user, and leaves the folder behind.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")  # of the kernel, in a second
# A frozen server hears only of SIGKILL and SIGCONT.
_WATCHDOG = """
cat >/dev/null
kill -s "$1" "$2"
kill -s CONT "$2"
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


def run(*command: str, folder: Path | None = None, **options: Any) -> str:
    """What a command prints that has to end well."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        raise ServiceError(f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def root(*command: str) -> tuple[str, ...]:
    """The command as root; without being root, sudo must not ask for a password."""
    return command if os.geteuid() == 0 else ("sudo", "--non-interactive", *command)


def descendants(pid: int) -> list[int]:
    """The processes that ``pid`` started, and that these started, and so on."""
    try:
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        children = [int(child) for thread in threads for child in thread.read_text().split()]
    except OSError:  # it has just ended
        return []
    return [each for child in children for each in (child, *descendants(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _signal_all(pids: Iterable[int], signal_: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal_)


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
        return self.own(folder(prefix))


def at_end(*command: str) -> None:
    """Run ``command`` when the test run has ended in any way; the last one that came goes first.

    It must do no harm when there is nothing left to do, as after a run that tidied up by itself.
    """
    will = _will()
    if will.stdin is None:
        raise RuntimeError("the shell that runs the last commands has no pipe")
    will.stdin.write(f"{shlex.join(command)}\n")
    will.stdin.flush()


@cache
def _will() -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", "-c", 'commands=$(tac); eval "$commands"'],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def folder(prefix: str) -> Path:
    """A new folder that is gone after the run, in any case."""
    path = tempfile.mkdtemp(prefix=prefix)
    at_end("rm", "-rf", "--", path)
    return Path(path)


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

    @property
    def running(self) -> bool:
        """Whether it has not ended, by itself or by us."""
        return self._server.poll() is None

    def check(self) -> None:
        """Raise with the end of the log if the server is no longer running."""
        if not self.running:
            tail = self._log.read_text(errors="replace")[-4000:]
            raise ServiceError(f"{self._server.args!r} ended: {self._server.returncode}\n{tail}")

    def freeze(self) -> None:
        """SIGSTOP it and all that it started: the machine is there, but does nothing any more."""
        os.kill(self.pid, signal.SIGSTOP)  # first, so that it starts nothing meanwhile
        _signal_all(descendants(self.pid), signal.SIGSTOP)

    @property
    def frozen(self) -> bool:
        """Whether a SIGSTOP holds it."""
        status = Path(f"/proc/{self.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    def thaw(self) -> None:
        """Let a frozen server go on, as if no time had passed for it."""
        _signal_all([*descendants(self.pid), self.pid], signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL it and all that it started, at one moment, as when a machine loses its power."""
        os.kill(self.pid, signal.SIGSTOP)
        _signal_all(descendants(self.pid), signal.SIGKILL)
        self.stop(signal.SIGKILL)

    def stop(self, by: signal.Signals, seconds: float = 90) -> None:
        """Send ``by`` and wait for the end; after ``seconds``, kill and raise."""
        self._server.send_signal(by)
        self.thaw()  # a frozen one would not hear it
        try:
            self._server.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self._server.kill()
            self._server.wait()
            raise ServiceError(f"{self._server.args!r} did not end on {by.name}") from error
        finally:
            self._watchdog.kill()
            self._watchdog.communicate()
