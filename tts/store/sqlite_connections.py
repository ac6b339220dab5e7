"""The connections to the store's file: one writes, one reads, one notices what others write.

A fourth empties its WAL after an erasure (:mod:`tts.store.sqlite_wal`).

Flushing has one thread and reading another, so that neither a slow disk nor a long read holds up
the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tts.ports.errors import Unavailable, Unfit
from tts.ports.schema import Schema
from tts.store.sqlite_file import (
    BUSY_SECONDS,
    bring_up,
    connect,
    is_damaged,
    public_reason,
    try_disk,
)
from tts.store.sqlite_wal import WalCleaner

T = TypeVar("T")

BUSY_POLL_SECONDS = 0.002


class SQLiteConnections:
    """Every method but ``version`` raises Unavailable when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-write")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="sqlite-read")
        self._turn = asyncio.Lock()  # of the one connection that writes
        self._wal = WalCleaner(self._connect, self._turn)
        self._opened = False
        self._trouble: Unavailable | None = None  # of the last transaction

    async def open(self, schema: Schema) -> None:
        """Make the file and its tables if need be, and connect.

        Raises:
            Unfit: they are of a newer version, or damaged.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writer = await self._in(self._writing, self._connect)
            await self._in(self._writing, lambda: bring_up(self._writer, schema, self._path))
            self._reader = await self._in(self._reading, self._connect)
            self._watcher = await self._in(self._reading, self._connect)
        except Unavailable as error:
            if error.__cause__ is not None and is_damaged(error.__cause__):
                raise Unfit(
                    f"{error}. Restore it from a backup, or move it away with its -wal and -shm to "
                    "begin anew"
                ) from error
            raise
        self._writer.execute("PRAGMA busy_timeout=0")
        self._opened = True

    async def aclose(self) -> None:
        """Let the file go, when what was begun for somebody who went away is done."""
        await self._wal.aclose()
        async with self._turn:
            if self._opened:
                await self._in(self._writing, self._writer.close)
                await self._in(self._reading, self._reader.close)
                self._watcher.close()
            self._writing.shutdown()
            self._reading.shutdown()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[sqlite3.Connection]:
        """One after the other; committed and on disk when the context is left.

        Whoever may be canceled meanwhile shields it from that: a transaction that stayed open would
        be in everybody's way. The rows are written by the loop and only the flush goes to the
        thread: every statement in a thread would wait for the interpreter's lock, milliseconds each
        while the loop is busy.
        """
        async with self._turn:
            await self._begin()
            try:
                with self._noting_trouble():
                    yield self._writer
                    await self._in(self._writing, self._writer.commit)
            except BaseException:
                self._writer.rollback()
                raise
            self._trouble = None

    @contextlib.contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """What is wrong with the file and not with what was to be written."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not (isinstance(error, sqlite3.OperationalError) or is_damaged(error)):
                raise
            self._trouble = self._unavailable(error)
            raise self._trouble from error
        except Unavailable as error:
            self._trouble = error
            raise

    async def ready(self) -> None:
        """Return if the last transaction went well, or one would now."""
        if self._trouble is not None:
            await asyncio.shield(self._try_to_write())

    async def _try_to_write(self) -> None:
        await self._in(self._writing, lambda: try_disk(self._path))
        async with self.transaction() as writer:
            (version,) = writer.execute("PRAGMA user_version").fetchone()
            writer.execute(f"PRAGMA user_version = {int(version)}")

    async def write(self, sql: str, params: Sequence[object]) -> None:
        """Run one statement in a transaction of its own."""
        async with self.transaction() as writer:
            writer.execute(sql, params)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work on the connection that reads."""
        return await self._in(self._reading, lambda: work(self._reader))

    async def read_one(self, sql: str, params: Sequence[object]) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        return await self.read(lambda reader: reader.execute(sql, params).fetchone())

    async def empty_wal(self) -> None:
        """Wait until the pages as they were before are nowhere; nobody who writes waits for it."""
        if not await self._wal.empty(BUSY_SECONDS):
            raise self._unavailable(
                f"somebody reads it for longer than {BUSY_SECONDS:g} s, perhaps a backup: what was "
                "erased is in its WAL until that ends"
            )

    def version(self) -> int:
        """A number that changes whenever another connection has written."""
        (version,) = self._watcher.execute("PRAGMA data_version").fetchone()
        return int(version)

    async def _begin(self) -> None:
        """Start a transaction; wait, but not in SQLite, while another process has one."""
        deadline = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise self._unavailable(error) from error
                await asyncio.sleep(BUSY_POLL_SECONDS)
            else:
                return

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path, synchronous="FULL")

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, reason: BaseException | str) -> Unavailable:
        public = "" if isinstance(reason, str) else public_reason(reason)
        return Unavailable(f"SQLite file {self._path}: {reason}", public=public)
