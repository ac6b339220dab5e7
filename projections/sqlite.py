"""Read models in a SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from projections.ports import SCHEMA, Row, Transaction
from tts.ports.errors import Unavailable
from tts.ports.schema import Migrated
from tts.store import sqlite_file
from tts.store.sqlite_file import bring_up, connect

T = TypeVar("T")

# SQLite compares bytes by itself, and does not know PostgreSQL's name for that order.
IN_SQLITE = replace(SCHEMA, script=SCHEMA.script.replace('COLLATE "C"', ""))


def migrate(path: Path) -> Migrated:
    """See :func:`projections.database.migrate_database`."""
    return sqlite_file.migrate(path, IN_SQLITE)


class SQLiteDatabase:
    """Implements Database in a file of its own.

    It is not the event store's file, so that projecting and appending never wait for each other.
    """

    def __init__(self, path: Path) -> None:
        self._connection = SQLiteConnection(path)
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """See :class:`projections.ports.Database`."""
        await self._connection.open()

    async def aclose(self) -> None:
        """See :class:`projections.ports.Database`."""
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Database`."""
        async with self._turn:
            return await self._connection.fetch(sql, params)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See :class:`projections.ports.Database`."""
        async with self._turn:
            # BEGIN stands inside: the thread runs it even when its caller is canceled meanwhile.
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                await self._connection.execute("COMMIT")
            except BaseException:
                await self._connection.roll_back()
                raise


class SQLiteConnection:
    """Implements Transaction; everything happens in one thread, in the order of the calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-models")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Make the file and its tables if need be."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = await self._do(self._connect)

    async def aclose(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            await self._do(self._connection.close)
        self._thread.shutdown()

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Transaction`."""
        return await self._do(lambda: self._opened.execute(sql, params).fetchall())

    async def execute(self, sql: str, params: Sequence[object] = ()) -> None:
        """See :class:`projections.ports.Transaction`."""
        await self._do(lambda: self._opened.execute(sql, params))

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """See :class:`projections.ports.Transaction`."""
        await self._do(lambda: self._opened.executemany(sql, rows))

    async def roll_back(self) -> None:
        """Undo the open transaction, if there is one."""
        await self._do(self._opened.rollback)

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unavailable(f"SQLite file {self._path} is not open")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, synchronous="NORMAL")
        try:
            bring_up(connection, IN_SQLITE, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"SQLite file {self._path}: {error}") from error
