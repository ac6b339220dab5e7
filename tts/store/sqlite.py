"""The event store in one SQLite file (WAL, ``synchronous=FULL``): the embedded deployment's."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from importlib.resources import files
from pathlib import Path
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from tts.ports.epochs import Epochs
from tts.ports.errors import Unavailable
from tts.ports.log import SECRET_BYTES, ArchivedTask, LogSecret, Payload, Recorded
from tts.ports.schema import Schema
from tts.store import sqlite_epochs
from tts.store.group_commit import Append, GroupCommit, ObserveCommit, nobody
from tts.store.losses import Losses, ObserveLoss
from tts.store.sqlite_archive import SQLiteArchive
from tts.store.sqlite_connections import SQLiteConnections
from tts.store.tailer import Bell, Stretch, follow

SCHEMA = Schema(
    part="log",
    version=3,
    script=files(__package__).joinpath("sqlite.sql").read_text(),
    tables=dict.fromkeys(
        [
            "stored_events",
            "payloads",
            "checkpoints",
            "roster",
            "roster_last",
            "secrets",
            "log_epochs",
            "callbacks",
            "archives",
            "archived_tasks",
        ],
        "",
    ),
)
OTHER_PROCESSES_POLL_SECONDS = 0.05  # PRAGMA data_version reads shared memory: a few microseconds
LEADERSHIP_POLL_SECONDS = 0.2

_INSERT = (
    "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
    "VALUES (?, ?, ?, ?, ?)"
)
# One statement for a whole batch, most of whose tasks are new. Nothing follows -1.
_VERSIONS = (
    "SELECT originator_id, max(originator_version) "
    "FROM json_each(?1) CROSS JOIN stored_events ON originator_id = value GROUP BY originator_id "
    "UNION ALL "
    "SELECT task_id, -1 FROM json_each(?1) CROSS JOIN archived_tasks ON task_id = value"
)
_INSERT_PAYLOAD = "INSERT INTO payloads VALUES (?, ?, ?, ?)"
_PAYLOAD = (
    "SELECT text, instruction, salt FROM payloads "
    "WHERE task_id = ? AND trim(text || instruction || salt) <> ''"
)
_CONTAINING = (
    "SELECT task_id FROM payloads WHERE instr(lower(text), lower(?)) > 0 AND task_id IN ({marks})"
)
# As many bytes as before: SQLite then writes where they are, instead of moving rows about.
_BLANK = "{0} = printf('%*s', length(CAST({0} AS BLOB)), '')"
_ERASE = (
    f"UPDATE payloads SET {', '.join(map(_BLANK.format, ('text', 'instruction', 'salt')))} "  # noqa: S608
    "WHERE task_id = ?"
)
_READ = (
    "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "
    "WHERE rowid > ? {selection} ORDER BY rowid LIMIT ?"
)
_POSITION = "SELECT coalesce(max(rowid), 0) FROM stored_events"
_ARCHIVED_TO = "SELECT coalesce(max(position), 0) FROM archives"
_POSITIONS = f"SELECT ({_POSITION}), ({_ARCHIVED_TO})"
_ARCHIVED = (
    "SELECT task_id, owner, version, position, archive, facts FROM archived_tasks "
    "WHERE task_id IN ({marks})"
)
_AMEND = "UPDATE archived_tasks SET facts = ? WHERE task_id = ?"
_CHECKPOINT = "SELECT position FROM checkpoints WHERE name = ?"
_SAVE_CHECKPOINT = (
    "INSERT INTO checkpoints VALUES (?, ?) ON CONFLICT (name) "
    "DO UPDATE SET position = max(position, excluded.position)"
)
_KEY = "SELECT key, position FROM secrets WHERE name = 'tasks'"
_INSERT_KEY = f"INSERT OR IGNORE INTO secrets VALUES ('tasks', ?, ({_POSITION}))"  # noqa: S608
_EVENTS = (
    "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "
    "WHERE originator_id = ? ORDER BY originator_version"
)


class SQLiteStore:
    """Implements EventStore, Log and Coordination of :mod:`tts.ports` on one file."""

    def __init__(
        self,
        path: Path,
        *,
        observe_loss: ObserveLoss = lambda _: None,
        observe_commit: ObserveCommit = nobody,
    ) -> None:
        self.path = path
        self._connections = SQLiteConnections(path)
        self._group = GroupCommit(self._commit, observe_commit)
        self._bell = Bell()
        self._announced = 0  # followers have been woken for everything up to there
        self._watching: asyncio.Task[None] | None = None
        self._losses = Losses(observe_loss)
        self._archived_to = 0
        self.archive = SQLiteArchive(self._connections)

    async def open(self) -> None:
        """Make the file and its tables if need be, and connect."""
        await self._connections.open(SCHEMA)
        await self.secret()  # so that it is as old as the log
        await self._begin_epoch(0)
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Settle what was asked for and let the file go."""
        await self._group.flush()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._connections.aclose()

    @property
    def epochs(self) -> Epochs:
        """See :class:`tts.ports.log.Log`."""
        return self._losses.epochs

    @property
    def archived_to(self) -> int:
        """See :class:`tts.ports.log.Log`."""
        return self._archived_to

    async def ready(self) -> None:
        """Return if the file can be read, and the last write went well, else raise Unavailable."""
        await self._connections.read_one(_POSITION, ())
        await self._connections.ready()

    # --- EventStore

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None = None) -> int:
        """See :class:`tts.ports.log.EventStore`."""
        return await self._group.append(events, payload)

    async def events(self, task_id: UUID) -> list[Recorded]:
        """See :class:`tts.ports.log.EventStore`."""
        return await self._select(_EVENTS, (task_id.hex,))

    async def archived(self, task_ids: Sequence[UUID]) -> list[ArchivedTask]:
        """See :class:`tts.ports.log.EventStore`."""
        sql = _ARCHIVED.format(marks=_marks(task_ids))
        names = [task_id.hex for task_id in task_ids]

        def work(reader: sqlite3.Connection) -> list[ArchivedTask]:
            rows = reader.execute(sql, names)
            return [ArchivedTask(UUID(hex=task_id), *facts) for task_id, *facts in rows]

        return await self._connections.read(work)

    async def amend(self, task: ArchivedTask) -> None:
        """See :class:`tts.ports.log.EventStore`."""
        await asyncio.shield(self._connections.write(_AMEND, (task.facts, task.task_id.hex)))

    async def payload(self, task_id: UUID) -> Payload | None:
        """See :class:`tts.ports.log.EventStore`."""
        row = await self._connections.read_one(_PAYLOAD, (task_id.hex,))
        return Payload(*row) if row else None

    async def whole(self, task_id: UUID) -> tuple[list[Recorded], Payload | None]:
        """See :class:`tts.ports.log.EventStore`."""

        def work(reader: sqlite3.Connection) -> tuple[list[Recorded], Payload | None]:
            row = reader.execute(_PAYLOAD, (task_id.hex,)).fetchone()
            events = _recorded(reader.execute(_EVENTS, (task_id.hex,)))
            return events, Payload(*row) if row else None

        return await self._connections.read(work)

    async def containing(self, text: str, task_ids: Sequence[UUID]) -> set[UUID]:
        """See :class:`tts.ports.log.EventStore`."""
        sql = _CONTAINING.format(marks=_marks(task_ids))
        params = (text, *(task_id.hex for task_id in task_ids))

        def work(reader: sqlite3.Connection) -> set[UUID]:
            return {UUID(hex=task_id) for (task_id,) in reader.execute(sql, params)}

        return await self._connections.read(work)

    async def secret(self) -> LogSecret:
        """See :class:`tts.ports.log.EventStore`."""
        while (row := await self._connections.read_one(_KEY, ())) is None:
            await asyncio.shield(
                self._connections.write(_INSERT_KEY, (secrets.token_bytes(SECRET_BYTES),))
            )
        return LogSecret(*row)

    async def erase(self, task_id: UUID) -> None:
        """See :class:`tts.ports.log.EventStore`; nor is it in the file or its WAL any more."""
        await asyncio.shield(self._erase(task_id))

    # --- Log

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """See :class:`tts.ports.log.Log`."""
        return (await self._stretch(after, limit, topics)).events

    async def _stretch(self, after: int, limit: int, topics: Collection[str]) -> Stretch:
        selection = f"AND topic IN ({','.join('?' * len(topics))})" if topics else ""
        sql = _READ.format(selection=selection)

        def work(reader: sqlite3.Connection) -> Stretch:
            (newest,) = reader.execute(_POSITION).fetchone()  # before the rows, which may be newer
            rows = _recorded(reader.execute(sql, (after, *topics, limit)))
            # Behind the rows: none is of an epoch, none is missing for an archive, unknown to us.
            self._notice(reader)
            return Stretch.of(rows, limit, newest)

        stretch = await self._connections.read(work)
        self._losses.check(after)
        return stretch

    async def position(self, seen: int = 0) -> int:
        """See :class:`tts.ports.log.Log`."""
        row = await self._connections.read_one(_POSITIONS, ())
        position, self._archived_to = map(int, row or (0, 0))
        if position < seen:
            await self._begin_epoch(seen)
        return position

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """See :class:`tts.ports.log.Log`."""
        return follow(self._stretch, self.position, self._bell, after, batch, topics)

    # --- Coordination

    @contextlib.asynccontextmanager
    async def leadership(self, name: str) -> AsyncIterator[FileLeadership]:
        """See :class:`tts.ports.coordination.Coordination`; a lock on a file beside it."""
        with self.path.with_name(f"{self.path.name}.{name}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(LEADERSHIP_POLL_SECONDS)
            yield FileLeadership()

    async def checkpoint(self, name: str) -> int:
        """See :class:`tts.ports.coordination.Coordination`."""
        row = await self._connections.read_one(_CHECKPOINT, (name,))
        return int(row[0]) if row else 0

    async def save_checkpoint(self, name: str, position: int, seen: int | None = None) -> None:
        """See :class:`tts.ports.coordination.Coordination`."""
        self._losses.check(position if seen is None else seen)
        await asyncio.shield(self._connections.write(_SAVE_CHECKPOINT, (name, position)))

    # --- inside

    async def _commit(self, batch: list[Append]) -> list[int | None]:
        async with self._connections.transaction() as writer:
            before = sqlite_epochs.last_given(writer)
            positions, placed = _insert_all(writer, batch, before)
        if before != self._announced:  # somebody else has written, too
            self._bell.kick()
        elif placed and self._bell:
            self._bell.tell(before, [Recorded.of(*each) for each in placed])
        self._announced = before + len(placed)
        return positions

    async def _begin_epoch(self, seen: int) -> None:
        async with self._connections.transaction() as writer:
            sqlite_epochs.begin(writer, seen)
        await self._connections.read(self._notice)

    def _notice(self, reader: sqlite3.Connection) -> None:
        """Learn of new epochs, and of what was archived before that."""
        (self._archived_to,) = reader.execute(_ARCHIVED_TO).fetchone()
        newest = self.epochs.newest
        if newest is None or newest.number != sqlite_epochs.number(reader):
            self._losses.epochs = sqlite_epochs.epochs(reader)

    async def _erase(self, task_id: UUID) -> None:
        await self._connections.write(_ERASE, (task_id.hex,))
        await self._connections.empty_wal()

    async def _select(self, sql: str, params: Sequence[object]) -> list[Recorded]:
        return await self._connections.read(lambda reader: _recorded(reader.execute(sql, params)))

    async def _watch(self) -> None:
        """Wake the followers when another process has written."""
        last = None
        while True:
            await asyncio.sleep(OTHER_PROCESSES_POLL_SECONDS)
            if self._bell:
                version = self._connections.version()
                if version != last:
                    last = version
                    await self._announce()

    async def _announce(self) -> None:
        """Wake everyone if the log is not as it was when they were last woken."""
        with contextlib.suppress(Unavailable):  # then they find out by themselves
            newest = await self.position()
            if newest != self._announced:
                self._announced = newest
                self._bell.kick()


class FileLeadership:
    """The kernel keeps the lock while the process lives: it cannot be lost."""

    async def lost(self) -> None:
        """Never returns."""
        await asyncio.get_running_loop().create_future()


def _recorded(rows: sqlite3.Cursor) -> list[Recorded]:
    return [
        Recorded(position, UUID(hex=task_id), version, topic, state)
        for position, task_id, version, topic, state in rows
    ]


def _insert_all(
    writer: sqlite3.Connection, batch: list[Append], last: int
) -> tuple[list[int | None], list[tuple[int, StoredEvent]]]:
    """Write what fits behind ``last``, and return where it stands.

    First comes for each append its last position, or None for no fit.
    """
    placed: list[tuple[int, StoredEvent]] = []
    rows: list[tuple[object, ...]] = []
    payloads: list[tuple[object, ...]] = []
    positions: list[int | None] = []
    task_ids = [append.task_id.hex for append in batch]
    versions = dict(writer.execute(_VERSIONS, (json.dumps(task_ids),)))
    for append, task_id in zip(batch, task_ids, strict=True):
        if append.events[0].originator_version != versions.get(task_id, 0) + 1:
            positions.append(_same(writer, append))
            continue
        for event in append.events:
            last += 1
            placed.append((last, event))
            rows.append((last, task_id, event.originator_version, event.topic, event.state))
        positions.append(last)
        if (payload := append.payload) is not None:
            payloads.append((task_id, payload.text, payload.instruction, payload.salt))
    writer.executemany(_INSERT, rows)
    writer.executemany(_INSERT_PAYLOAD, payloads)
    return positions, placed


def _same(writer: sqlite3.Connection, append: Append) -> int | None:
    """The last position if exactly these events stand in the log already."""
    stored = {row[2]: row for row in writer.execute(_EVENTS, (append.task_id.hex,))}
    for event in append.events:
        row = stored.get(event.originator_version)
        if row is None or (row[3], row[4]) != (event.topic, event.state):
            return None
    return int(stored[append.events[-1].originator_version][0])


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
