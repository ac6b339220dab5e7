"""Read models in a SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Self, TypeVar

from projections.ports import Row, Transaction
from projections.schema import SCHEMA
from projections.table import Table
from tts.ports.errors import Unavailable
from tts.ports.schema import Migrated
from tts.store import sqlite_file
from tts.store.sqlite_file import bring_up, connect, is_damaged

logger = logging.getLogger(__name__)

T = TypeVar("T")

# SQLite compares bytes by itself, and does not know PostgreSQL's name for that order.
IN_SQLITE = replace(SCHEMA, script=SCHEMA.script.replace('COLLATE "C"', ""))

READERS = 4  # so many questions are answered at once; a slow one holds up none of the others
CACHE_KILOBYTES = 32_000


def migrate(path: Path) -> Migrated:
    """See :func:`projections.database.migrate_database`."""
    return sqlite_file.migrate(path, IN_SQLITE)


class SQLiteDatabase:
    """Implements Database in a file of its own.

    It is not the event store's file, so that projecting and appending never wait for each other;
    and who reads waits neither for who writes nor for each other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = SQLiteConnection(path)
        self._readers = [SQLiteConnection(path, "PRAGMA query_only=ON") for _ in range(READERS)]
        self._free: asyncio.LifoQueue[SQLiteConnection] = asyncio.LifoQueue()
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """See :class:`projections.ports.Database`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        await self._writer.open()
        for reader in self._readers:
            await reader.open()
            self._free.put_nowait(reader)

    async def aclose(self) -> None:
        """See :class:`projections.ports.Database`."""
        for connection in (*self._readers, self._writer):
            await connection.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Database`."""
        reader = await self._free.get()
        try:
            return await reader.fetch(sql, params)
        finally:
            self._free.put_nowait(reader)

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """See :class:`projections.ports.Database`."""
        reader = await self._free.get()
        try:
            await reader.execute("BEGIN")
            yield reader
        finally:
            await reader.roll_back()
            self._free.put_nowait(reader)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See :class:`projections.ports.Database`."""
        async with self._turn:
            # BEGIN stands inside: the thread runs it even when its caller is canceled meanwhile.
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                await self._writer.execute("COMMIT")
            except BaseException:
                await self._writer.roll_back()
                raise


class SQLiteConnection:
    """Implements Transaction; everything happens in one thread, in the order of the calls.

    A damaged file is removed and made anew: all that was in it comes from the log.
    """

    def __init__(self, path: Path, *pragmas: str) -> None:
        self._path = path
        self._pragmas = (f"PRAGMA cache_size=-{CACHE_KILOBYTES}", *pragmas)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-models")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    async def open(self) -> None:
        """Make the file and its tables if need be."""
        await self._do(self._reopen)

    async def aclose(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            await self._do(self._opened.close)
        self._thread.shutdown()

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Transaction`."""
        return await self._do(lambda: self._current.execute(sql, params).fetchall())

    async def execute(self, sql: str, params: Sequence[object] = ()) -> None:
        """See :class:`projections.ports.Transaction`."""
        await self._do(lambda: self._current.execute(sql, params))

    async def write(self, table: Table, place: int, rows: Collection[Mapping[str, Any]]) -> None:
        """See :class:`projections.ports.Transaction`."""
        columns = list(table.columns)
        sql = table.writing(place, f"VALUES ({', '.join('?' * len(columns))})")
        values = list(map(itemgetter(*columns), rows))
        await self._do(lambda: self._current.executemany(sql, values))

    async def remove(
        self, table: Table, place: int, column: str, values: Collection[object]
    ) -> None:
        """See :class:`projections.ports.Transaction`."""
        sql = table.removal(place, column)
        rows = [(value,) for value in values]
        await self._do(lambda: self._current.executemany(sql, rows))

    async def clear(self, table: Table, place: int) -> None:
        """See :class:`projections.ports.Transaction`."""
        for statement in table.unindexing(place):
            await self.execute(statement)
        await self.execute(f"DELETE FROM {table.at(place)}")  # noqa: S608 -- a name of ours

    async def complete(self, table: Table, place: int) -> None:
        """See :class:`projections.ports.Transaction`."""
        for statement in table.indexing(place):
            await self.execute(statement)

    async def roll_back(self) -> None:
        """Undo the open transaction, if there is one."""
        await self._do(self._opened.rollback)

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unavailable(f"SQLite file {self._path} is not open")
        return self._connection

    @property
    def _current(self) -> sqlite3.Connection:
        """Of the file that is there: somebody else may have made it anew since."""
        if not self._opened.in_transaction and self._inode != _inode(self._path):
            self._reopen()
        return self._opened

    def _reopen(self) -> None:
        if self._connection is not None:
            self._connection.close()
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            self._inode = _inode(self._path)
            self._remove(error)
            self._connection = self._connect()
        self._inode = _inode(self._path)

    def _remove(self, error: sqlite3.DatabaseError) -> None:
        if self._inode == _inode(self._path):  # else somebody else was faster
            logger.warning("Read models are made anew: SQLite file %s: %s", self._path, error)
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, synchronous="NORMAL")
        try:
            bring_up(connection, IN_SQLITE, self._path)
            for pragma in self._pragmas:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"SQLite file {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            await self._do(partial(self._make_anew, error))
            raise Unavailable(f"SQLite file {self._path}: {error}") from error

    def _make_anew(self, error: sqlite3.DatabaseError) -> None:
        self._opened.close()
        self._remove(error)
        self._reopen()


def _inode(path: Path) -> int:
    """That of the file; 0 if there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
