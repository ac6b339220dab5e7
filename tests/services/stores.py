"""Both event stores behind one handle, for whatever has to hold on either."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.services.postgres import Postgres
from tts.store.postgres import PostgresStore
from tts.store.sqlite import SQLiteStore

Store = SQLiteStore | PostgresStore
ROOT = Path(__file__).parents[2]


class Backend:
    """An empty database of one test, in which any number of stores can be opened."""

    def __init__(self, url: str, server: Postgres | None = None) -> None:
        self.url = url
        self.server = server  # for tests that disturb it
        self.is_sqlite = url.startswith("sqlite:")

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """A store as a process of its own would have it."""
        store = SQLiteStore(self.path) if self.is_sqlite else PostgresStore(self.url)
        await store.open()
        try:
            yield store
        finally:
            await store.aclose()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What somebody with a SQL client sees."""
        if not self.is_sqlite:
            with psycopg.connect(self.url, autocommit=True) as connection:
                return connection.execute(statement).fetchall()
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement).fetchall()

    def restored(self, folder: Path) -> Backend:
        """A copy made from a backup: of the file, which then lies in ``folder``, or a dump."""
        if self.server:
            return Backend(self.server.restore_database(self.url), self.server)
        copy = Backend(f"sqlite:///{folder / 'restored.db'}")
        with (
            contextlib.closing(sqlite3.connect(self.path)) as source,
            contextlib.closing(sqlite3.connect(copy.path)) as target,
        ):
            source.backup(target)
        return copy

    @contextlib.contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Another process that uses the store (``tests.services.store_process``)."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.store_process", self.url, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def environment(self) -> dict[str, str]:
        """What a plain ``eventsourcing`` application needs to use the same database."""
        common = {"TRANSCODER_TOPIC": "tts.transcoder:OrjsonTranscoder"}
        if self.is_sqlite:
            return {
                **common,
                "PERSISTENCE_MODULE": "eventsourcing.sqlite",
                "SQLITE_DBNAME": str(self.path),
            }
        parts = urlsplit(self.url)
        return {
            **common,
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": parts.path[1:],
            "POSTGRES_HOST": str(parts.hostname),
            "POSTGRES_PORT": str(parts.port),
            "POSTGRES_USER": str(parts.username),
            "POSTGRES_PASSWORD": "none is asked for",
        }


def line(process: subprocess.Popen[str]) -> Any:
    """The next line of JSON that the process prints; blocks."""
    assert process.stdout is not None
    text = process.stdout.readline()
    assert text, f"{process.args!r} ended"
    return json.loads(text)
