"""The event store in one SQLite file (WAL, ``synchronous=FULL``): the embedded deployment's.

Flushing has one thread and reading another, each with its own connection, so that neither a slow
disk nor a long read holds up the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from tts.ports.errors import Unavailable
from tts.ports.log import Payload, Recorded
from tts.store.group_commit import Append, GroupCommit
from tts.store.sqlite_file import BUSY_SECONDS, connect
from tts.store.tailer import Bell, follow

T = TypeVar("T")

OTHER_PROCESSES_POLL_SECONDS = 0.05  # PRAGMA data_version reads shared memory: a few microseconds
LEADERSHIP_POLL_SECONDS = 0.2
BUSY_POLL_SECONDS = 0.002

_INSERT = "INSERT OR IGNORE INTO stored_events VALUES (?, ?, ?, ?)"
_INSERT_PAYLOAD = "INSERT INTO payloads VALUES (?, ?, ?, ?)"
_PAYLOAD = (
    "SELECT text, instruction, salt FROM payloads "
    "WHERE task_id = ? AND trim(text || instruction || salt) <> ''"
)
# As many bytes as before: SQLite then writes where they are, instead of moving rows about.
_BLANK = "{0} = printf('%*s', length(CAST({0} AS BLOB)), '')"
_ERASE = (
    f"UPDATE payloads SET {', '.join(map(_BLANK.format, ('text', 'instruction', 'salt')))} "  # noqa: S608
    "WHERE task_id = ?"
)
_READ = (
    "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "
    "WHERE rowid > ? {wanted} ORDER BY rowid LIMIT ?"
)
_EVENTS = (
    "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "
    "WHERE originator_id = ? ORDER BY originator_version"
)


class SQLiteStore:
    """Implements EventStore, Log and Coordination of :mod:`tts.ports.log` on one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-write")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="sqlite-read")
        self._turn = asyncio.Lock()  # of the one connection that writes
        self._group = GroupCommit(self._commit)
        self._bell = Bell()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the file and its tables if need be, and connect."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writer = await self._in(self._writing, self._connect)
            schema = files(__package__).joinpath("sqlite.sql").read_text()
            await self._in(self._writing, lambda: self._writer.executescript(schema))
            self._writer.execute("PRAGMA busy_timeout=0")
            self._reader = await self._in(self._reading, self._connect)
            self._watcher = self._connect()
        except sqlite3.Error as error:
            raise Unavailable(f"SQLite file {self._path}: {error}") from error
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Settle what was asked for and let the file go."""
        await self._group.flush()
        async with self._turn:  # what was begun for somebody who went away
            await self._close()

    async def _close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            await self._in(self._writing, self._writer.close)
            await self._in(self._reading, self._reader.close)
            self._watcher.close()
        self._writing.shutdown()
        self._reading.shutdown()

    async def ready(self) -> None:
        """Return if the file can be read, else raise Unavailable."""
        await self._read_one("SELECT 1", ())

    # --- EventStore

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None = None) -> int:
        """See :class:`tts.ports.log.EventStore`."""
        return await self._group.append(events, payload)

    async def events(self, task_id: UUID) -> list[Recorded]:
        """See :class:`tts.ports.log.EventStore`."""
        return await self._select(_EVENTS, (task_id.hex,))

    async def payload(self, task_id: UUID) -> Payload | None:
        """See :class:`tts.ports.log.EventStore`."""
        row = await self._read_one(_PAYLOAD, (task_id.hex,))
        return Payload(*row) if row else None

    async def erase(self, task_id: UUID) -> None:
        """See :class:`tts.ports.log.EventStore`; nor is it in the file or its WAL any more."""
        await asyncio.shield(self._erase(task_id))

    # --- Log

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """See :class:`tts.ports.log.Log`."""
        wanted = f"AND topic IN ({','.join('?' * len(topics))})" if topics else ""
        return await self._select(_READ.format(wanted=wanted), (after, *topics, limit))

    async def position(self) -> int:
        """See :class:`tts.ports.log.Log`."""
        row = await self._read_one("SELECT max(rowid) FROM stored_events", ())
        return int(row[0] or 0) if row else 0

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """See :class:`tts.ports.log.Log`."""
        return follow(partial(self.read, topics=topics), self._bell, after, batch)

    # --- Coordination

    @contextlib.asynccontextmanager
    async def leadership(self, name: str) -> AsyncIterator[FileLeadership]:
        """See :class:`tts.ports.coordination.Coordination`; a lock on a file beside it."""
        with self._path.with_name(f"{self._path.name}.{name}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(LEADERSHIP_POLL_SECONDS)
            yield FileLeadership()

    async def checkpoint(self, name: str) -> int:
        """See :class:`tts.ports.coordination.Coordination`."""
        row = await self._read_one("SELECT position FROM checkpoints WHERE name = ?", (name,))
        return int(row[0]) if row else 0

    async def save_checkpoint(self, name: str, position: int) -> None:
        """See :class:`tts.ports.coordination.Coordination`."""
        sql = (
            "INSERT INTO checkpoints VALUES (?, ?) ON CONFLICT (name) "
            "DO UPDATE SET position = max(position, excluded.position)"
        )
        await asyncio.shield(self._write(sql, (name, position)))

    # --- inside

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path, synchronous="FULL")

    async def _commit(self, batch: list[Append]) -> list[int | None]:
        # The rows are written here and only the flush goes to the thread: every statement in a
        # thread would wait for the interpreter's lock, milliseconds each while the loop is busy.
        async with self._transaction():
            positions = self._insert_all(batch)
        self._bell.kick()
        return positions

    async def _write(self, sql: str, params: Sequence[object]) -> None:
        async with self._transaction():
            self._writer.execute(sql, params)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """One after the other.

        Whoever may be canceled meanwhile shields it from that: a transaction that stayed open would
        be in everybody's way.
        """
        async with self._turn:
            await self._begin()
            try:
                yield
                await self._in(self._writing, self._writer.commit)
            except BaseException:
                self._writer.rollback()
                raise

    async def _begin(self) -> None:
        """Start a transaction; wait, but not in SQLite, while another process has one."""
        deadline = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable(f"SQLite file {self._path}: {error}") from error
                await asyncio.sleep(BUSY_POLL_SECONDS)
            else:
                return

    async def _erase(self, task_id: UUID) -> None:
        await self._write(_ERASE, (task_id.hex,))
        async with self._turn:
            await self._empty_wal()

    async def _empty_wal(self) -> None:
        """Wait until the pages as they were before are nowhere; a reader may hold them a moment."""
        deadline = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            busy, _, _ = await self._in(self._writing, self._truncate_wal)
            if not busy:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"SQLite file {self._path}: its WAL is being read all the time")
            await asyncio.sleep(BUSY_POLL_SECONDS)

    def _truncate_wal(self) -> tuple[int, int, int]:
        row: tuple[int, int, int]
        row = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return row

    def _insert_all(self, batch: list[Append]) -> list[int | None]:
        execute, executemany = self._writer.execute, self._writer.executemany
        execute("SAVEPOINT batch")
        (last,) = execute("SELECT coalesce(max(rowid), 0) FROM stored_events").fetchone()
        rows: list[tuple[object, ...]] = []
        said: list[tuple[object, ...]] = []
        positions: list[int | None] = []
        for append in batch:
            task_id = append.task_id.hex
            rows += [(task_id, e.originator_version, e.topic, e.state) for e in append.events]
            positions.append(last + len(rows))  # rowids go up by one while the lock is held
            if append.payload is not None:
                payload = append.payload
                said.append((task_id, payload.text, payload.instruction, payload.salt))
        if executemany(_INSERT, rows).rowcount == len(rows):
            executemany(_INSERT_PAYLOAD, said)
            return positions
        execute("ROLLBACK TO batch")
        return [self._insert(append) for append in batch]

    def _insert(self, append: Append) -> int | None:
        execute = self._writer.execute
        task_id = append.task_id.hex
        position = None
        for n, event in enumerate(append.events):
            row = (task_id, event.originator_version, event.topic, event.state)
            cursor = execute(_INSERT, row)
            if cursor.rowcount == 0:
                for written in append.events[:n]:
                    execute(
                        "DELETE FROM stored_events WHERE originator_id = ? "
                        "AND originator_version = ?",
                        (task_id, written.originator_version),
                    )
                return self._same(append)
            position = cursor.lastrowid
        if append.payload is not None:
            said = append.payload
            execute(_INSERT_PAYLOAD, (task_id, said.text, said.instruction, said.salt))
        return position

    def _same(self, append: Append) -> int | None:
        """The last position if exactly these events stand in the log already."""
        stored = {row[2]: row for row in self._writer.execute(_EVENTS, (append.task_id.hex,))}
        for event in append.events:
            row = stored.get(event.originator_version)
            if row is None or (row[3], row[4]) != (event.topic, event.state):
                return None
        return int(stored[append.events[-1].originator_version][0])

    async def _select(self, sql: str, params: Sequence[object]) -> list[Recorded]:
        return await self._in(
            self._reading,
            lambda: [
                Recorded(position, UUID(hex=task_id), version, topic, state)
                for position, task_id, version, topic, state in self._reader.execute(sql, params)
            ],
        )

    async def _read_one(self, sql: str, params: tuple[object, ...]) -> tuple[Any, ...] | None:
        return await self._in(self._reading, lambda: self._reader.execute(sql, params).fetchone())

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except sqlite3.Error as error:
            raise Unavailable(f"SQLite file {self._path}: {error}") from error

    async def _watch(self) -> None:
        """Wake the followers when another process has written."""
        seen = None
        while True:
            await asyncio.sleep(OTHER_PROCESSES_POLL_SECONDS)
            if self._bell:
                version = self._watcher.execute("PRAGMA data_version").fetchone()
                if version != seen:
                    seen = version
                    self._bell.kick()


class FileLeadership:
    """The kernel keeps the lock while the process lives: it cannot be lost."""

    async def lost(self) -> None:
        """Never returns."""
        await asyncio.get_running_loop().create_future()
