"""A private pgbouncer."""

from __future__ import annotations

import shutil
import signal

from tests.services.ports import at_port, free_port, listening
from tests.services.process import Process, User, program
from tests.waiting import wait_until


class PgBouncer:
    """A pooler before the PostgreSQL at ``target`` (a port), with pgbouncer's defaults otherwise.

    ``mode`` is ``session`` (each client has a connection for itself), ``transaction`` (for the time
    of a transaction) or ``statement``; ``settings`` are further ones of pgbouncer.ini.
    """

    def __init__(self, target: int, mode: str = "session", **settings: str | int) -> None:
        self.port = free_port()
        self._user = User("postgres")  # it refuses to be root
        self._folder = self._user.folder("tts-pgbouncer-")
        self._config = self._folder / "pgbouncer.ini"
        users = self._folder / "users.txt"
        users.write_text('"postgres" ""\n')
        self._target = target
        self._settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "pool_mode": mode,
            **settings,
        }
        self.start()

    def through(self, url: str) -> str:
        """The URL of a database of the server, by way of this pooler."""
        return at_port(url, self.port)

    def start(self) -> None:
        """Start it (again) on the same port and wait until it answers."""
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        databases = f"[databases]\n* = host=127.0.0.1 port={self._target}\n"
        self._config.write_text("\n".join([databases, "[pgbouncer]", *lines, ""]))
        self._process = Process(
            self._user.command([program("/usr/sbin/pgbouncer", "pgbouncer"), str(self._config)]),
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGKILL,
        )
        wait_until(self._listens, "pgbouncer listens")

    def halt(self) -> None:
        """``kill -9``, until :meth:`start`."""
        self._process.stop(signal.SIGKILL)

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process.running:
            self.halt()
        shutil.rmtree(self._folder)

    def _listens(self) -> bool:
        self._process.check()
        return listening(self.port)
