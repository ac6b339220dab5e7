"""A private PostgreSQL."""

from __future__ import annotations

import shutil
import signal
import subprocess
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.services.ports import free_port
from tests.services.process import Process, ServiceError, User, program, wait_until


def _binary(name: str) -> str:
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=Path(name))
    return program(str(newest), "postgresql")


class Postgres:
    """A cluster of its own; ``fsync=True`` makes a commit as slow and as safe as in production."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._user = User("postgres")
        self._folder = self._user.folder("tts-postgres-")
        self._data = self._folder / "data"
        self._fsync = fsync
        self._names = count(1)
        self.port = free_port()
        self._initdb()
        self.start()

    @property
    def url(self) -> str:
        """The maintenance database; tests take one of their own from :meth:`create_database`."""
        return self._url("postgres")

    def create_database(self) -> str:
        """A fresh, empty database; returns its URL."""
        name = f"test_{next(self._names)}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def copy_database(self, url: str) -> str:
        """A copy of a database that nobody is connected to any more; returns its URL."""
        name = f"test_{next(self._names)}"
        origin = urlsplit(url).path[1:]
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(origin)
            )
        )
        return self._url(name)

    def terminate_backends(self, url: str | None = None, *, query: str = "%") -> int:
        """Cut connections: those to ``url``'s database, whose last statement is LIKE ``query``."""
        database = urlsplit(url).path[1:] if url else None
        return self._execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " AND (%(database)s::text IS NULL OR datname = %(database)s) AND query ILIKE %(query)s",
            {"database": database, "query": query},
        )

    def start(self) -> None:
        """Start the server (again) on the same port and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = Process(
            self._user.command([_binary("postgres"), "-D", str(self._data), *options]),
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGQUIT,  # SIGKILL would leave its shared memory behind
        )
        wait_until(self._answers, "PostgreSQL answers")

    def halt(self, *, crash: bool = False) -> None:
        """End the server but keep its data: an outage until :meth:`start`."""
        self._process.stop(signal.SIGQUIT if crash else signal.SIGINT)

    def restart(self, *, crash: bool = False) -> None:
        """Halt and start; ``crash`` gives it no time to say goodbye to anyone."""
        self.halt(crash=crash)
        self.start()

    def stop(self) -> None:
        """End the server and remove its data."""
        self.halt(crash=True)
        shutil.rmtree(self._folder)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _initdb(self) -> None:
        arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(
            self._user.command([_binary("initdb"), "-D", str(self._data), *arguments]),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceError(f"initdb failed: {done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        self._process.check()
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _execute(
        self, statement: str | sql.Composed, parameters: dict[str, str | None] | None = None
    ) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement, parameters).rowcount
