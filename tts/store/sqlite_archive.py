"""Events that go from the log in a SQLite file into an archive, and come back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from uuid import UUID

from tts.ports.archive import ArchiveStanding
from tts.ports.log import ArchivedTask, Recorded
from tts.store.sqlite_connections import SQLiteConnections

_STANDINGS = "SELECT name, tasks, position, done FROM archives ORDER BY name"
_BEGIN = "INSERT INTO archives VALUES (?, 0, 0, FALSE) ON CONFLICT (name) DO NOTHING"
_FINISH = "UPDATE archives SET done = TRUE WHERE name = ?"
_FORGET = "DELETE FROM archives WHERE name = ? AND tasks = 0"
_COUNT = "UPDATE archives SET tasks = tasks + ?, position = max(position, ?) WHERE name = ?"
_NEWEST = "SELECT max(rowid) FROM stored_events"
_VERSION = "SELECT max(originator_version) FROM stored_events WHERE originator_id = ?"
_KEEP = "INSERT INTO archived_tasks VALUES (?, ?, ?, ?, ?, ?)"
_TAKE = "DELETE FROM stored_events WHERE originator_id = ?"
_RELEASE = "DELETE FROM archived_tasks WHERE task_id = ? AND archive = ?"
_PLACE = (
    "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
    "VALUES (?, ?, ?, ?, ?)"
)
_FREE = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"


class SQLiteArchive:
    """Implements LogArchive of :mod:`tts.ports.archive`."""

    def __init__(self, connections: SQLiteConnections) -> None:
        self._connections = connections

    async def standings(self) -> list[ArchiveStanding]:
        """See :class:`tts.ports.archive.LogArchive`."""

        def work(reader: sqlite3.Connection) -> list[ArchiveStanding]:
            return [
                ArchiveStanding(name, tasks, position, bool(done))
                for name, tasks, position, done in reader.execute(_STANDINGS)
            ]

        return await self._connections.read(work)

    async def begin(self, name: str) -> None:
        """See :class:`tts.ports.archive.LogArchive`."""
        await self._connections.write(_BEGIN, (name,))

    async def move(self, name: str, tasks: Sequence[ArchivedTask]) -> set[UUID]:
        """See :class:`tts.ports.archive.LogArchive`."""
        async with self._connections.transaction() as writer:
            (newest,) = writer.execute(_NEWEST).fetchone()
            moved = [
                task
                for task in tasks
                if task.position < (newest or 0)
                and writer.execute(_VERSION, (task.task_id.hex,)).fetchone() == (task.version,)
            ]
            writer.executemany(_KEEP, [_row(task, name) for task in moved])
            writer.executemany(_TAKE, [(task.task_id.hex,) for task in moved])
            newest_moved = max((task.position for task in moved), default=0)
            writer.execute(_COUNT, (len(moved), newest_moved, name))
        return {task.task_id for task in moved}

    async def finish(self, name: str) -> None:
        """See :class:`tts.ports.archive.LogArchive`."""
        async with self._connections.transaction() as writer:
            writer.execute(_FINISH, (name,))
            writer.execute(_FORGET, (name,))

    async def restore(self, name: str, events: Sequence[Recorded]) -> int:
        """See :class:`tts.ports.archive.LogArchive`."""
        async with self._connections.transaction() as writer:
            back = {
                task_id
                for task_id in {event.task_id for event in events}
                if writer.execute(_RELEASE, (task_id.hex, name)).rowcount
            }
            rows = [_event_row(event) for event in events if event.task_id in back]
            writer.executemany(_PLACE, rows)
            writer.execute(_COUNT, (-len(back), 0, name))
        return len(back)

    async def free_space(self) -> str:
        """See :class:`tts.ports.archive.LogArchive`; a VACUUM might renumber the positions."""
        row = await self._connections.read_one(_FREE, ())
        free = row[0] if row else 0
        return (
            f"The file keeps its size: {free / 1e6:.1f} MB in it are free, and are used by what "
            "comes next."
        )


def _row(task: ArchivedTask, name: str) -> tuple[object, ...]:
    return task.task_id.hex, task.owner, task.version, task.position, name, task.facts


def _event_row(event: Recorded) -> tuple[object, ...]:
    task_id: UUID = event.task_id
    return event.position, task_id.hex, event.version, event.topic, event.state
