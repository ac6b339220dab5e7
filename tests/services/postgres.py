"""A private PostgreSQL."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.services.disk import SmallDisk
from tests.services.ports import free_port
from tests.services.process import Process, User, program, root, run
from tests.services.tls import Certificate
from tests.waiting import wait_until


def _binary(name: str) -> str:
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=Path(name))
    return program(str(newest), "postgresql")


_NAMES = count(1)  # of all servers together: one may take another's place

# What a test sets on the server must not hit the hands that set it.
_CONTROL = "-c statement_timeout=0 -c default_transaction_read_only=off -c idle_session_timeout=0"


class Postgres:
    """A cluster of its own; ``fsync=True`` makes a commit as slow and as safe as in production.

    ``settings`` are those of postgresql.conf, read at each start. With a ``certificate`` it speaks
    TLS as well, and ``url`` demands it. ``disk`` is the size of its disk in MB, which needs root.
    With an ``origin`` (a port) it begins as the standby of that server: reads only.
    """

    def __init__(
        self,
        *,
        fsync: bool = False,
        certificate: Certificate | None = None,
        disk: int | None = None,
        settings: Mapping[str, str | int] | None = None,
        origin: int | None = None,
    ) -> None:
        self._user = User("postgres")
        self._folder = self._user.folder("tts-postgres-")
        self._data = self._folder / "data"
        self._disk = SmallDisk(self._data, disk, self._user) if disk else None
        self._options = ""
        self.port = free_port()
        self.settings: dict[str, str | int] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "on" if fsync else "off",
            "full_page_writes": "on" if fsync else "off",
            # Files rather than shared memory, which a kill -9 would leave behind.
            "dynamic_shared_memory_type": "mmap",
            **(settings or {}),
        }
        if certificate:
            self._serve_tls(certificate)
        if origin:
            self.follow(origin)
        else:
            self._initdb()
            self.start()

    @property
    def url(self) -> str:
        """The maintenance database; tests take one of their own from :meth:`create_database`."""
        return self._url("postgres")

    def create_database(self) -> str:
        """A fresh, empty database; returns its URL."""
        name = f"test_{next(_NAMES)}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def copy_database(self, url: str) -> str:
        """A copy of a database that nobody is connected to any more; returns its URL."""
        name = f"test_{next(_NAMES)}"
        origin = urlsplit(url).path[1:]
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(origin)
            )
        )
        return self._url(name)

    def restore_database(self, url: str) -> str:
        """A database restored from what ``pg_dump`` says of another one; returns its URL."""
        copy = self.create_database()
        dump = run(_binary("pg_dump"), f"--dbname={url}")
        options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={copy}"]
        run(_binary("psql"), *options, input=dump)
        return copy

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
        options = [f"--{name}={value}" for name, value in self.settings.items()]
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

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.running

    def kill(self) -> None:
        """Power off: no farewell to anyone, as :meth:`halt` gives even when it crashes."""
        # The lock file's last but one line names the only shared memory that would stay behind.
        lock = (self._data / "postmaster.pid").read_text().splitlines()
        self._process.kill()
        run(*root("ipcrm", "-m", lock[6].split()[1]))

    def freeze(self) -> None:
        """SIGSTOP every one of its processes: connections stay and nothing comes from them."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._process.thaw()

    def follow(self, origin: int) -> None:
        """Start as the standby of the server at that port, on a copy of its data; ours are lost."""
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"host=127.0.0.1 port={origin} user=postgres application_name=standby"
        # -R writes the source down, and that it is to be followed.
        self._run("pg_basebackup", "-d", source, "-D", str(self._data), "-R", "-c", "fast", "-N")
        self.start()

    def promote(self) -> None:
        """Make a standby a server of its own, and return when it takes writes."""
        self._execute("SELECT pg_promote()")

    def set(self, **settings: str) -> None:
        """Change settings of the running server, for the sessions that are there, too."""
        for name, value in settings.items():
            self._execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
        self._execute("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def setting(self, **settings: str) -> Iterator[None]:
        """:meth:`set` for a while: ``default_transaction_read_only="on"`` is a read-only window.

        What :attr:`settings` holds cannot be overruled.
        """
        self.set(**settings)
        try:
            yield
        finally:
            for name in settings:
                self._execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            self._execute("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def no_connection_left(self) -> Iterator[None]:
        """Take every connection that is free, and those that are ended meanwhile; 53300 for all.

        They are given back at once at the end.
        """
        with contextlib.ExitStack() as taken:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.enter_context(psycopg.connect(self.url, autocommit=True))
            yield

    def fill_disk(self) -> None:
        """Leave no byte of the ``disk`` free: a statement that needs one ends with 53100."""
        self._disk.fill()

    def free_disk(self) -> None:
        """Give back what :meth:`fill_disk` took."""
        self._disk.free()

    @property
    def position(self) -> str:
        """How far the log (WAL) of this server goes: what it wrote, or as a standby has applied."""
        return str(
            self.ask(
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                " ELSE pg_current_wal_lsn() END"
            )
        )

    def ask(self, query: str) -> Any:
        """The first value of a query's first row, at the maintenance database."""
        with self._connection() as connection:
            row = connection.execute(query).fetchone()
        return row[0] if row else None

    def restart(self, *, crash: bool = False) -> None:
        """Halt and start; ``crash`` gives it no time to say goodbye to anyone."""
        self.halt(crash=crash)
        self.start()

    def stop(self) -> None:
        """End the server, if it runs, and remove its data."""
        if self.running:
            self.halt(crash=True)
        if self._disk:
            self._disk.unmount()
        shutil.rmtree(self._folder)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}{self._options}"

    def _serve_tls(self, certificate: Certificate) -> None:
        files = certificate.copy(self._folder, self._user)
        self.settings |= {
            "ssl": "on",
            "ssl_cert_file": str(files.certificate),
            "ssl_key_file": str(files.key),
        }
        self._options = f"?sslmode=verify-full&sslrootcert={certificate.authority}"

    def _initdb(self) -> None:
        arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *arguments)

    def _run(self, name: str, *arguments: str) -> None:
        run(*self._user.command([_binary(name), *arguments]), folder=self._folder)

    def _answers(self) -> bool:
        self._process.check()
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True, options=_CONTROL)

    def _execute(
        self, statement: str | sql.Composed, parameters: dict[str, str | None] | None = None
    ) -> int:
        with self._connection() as connection:
            return connection.execute(statement, parameters).rowcount
