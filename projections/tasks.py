"""The read model "tasks": one row for each task, for lists and counts; dead letters beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from projections import dead_letters
from projections.cursor import decode, encode
from projections.ports import Database, Transaction
from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.wire import status_of

# A read model that gets another shape gets another name: its position starts at zero, and so it is
# made anew from the first event on.
NAME = "tasks-2"
FIXED = ("task_id", "owner", "template_id", "created_at")
CHANGING = (
    "status",
    "attempt",
    "code",
    "step",
    "message",
    "object_key",
    "size",
    "duration",
    "updated_at",
    "completed_at",
    "retry_at",
    "position",
)
COLUMNS = FIXED + CHANGING
# The fixed columns are not set again, so that only the index on the status is written at a change.
_UPSERT = (
    f"INSERT INTO rm_tasks ({', '.join(COLUMNS)}) "  # noqa: S608 -- made of the names above
    f"VALUES ({', '.join('?' * len(COLUMNS))}) "
    f"ON CONFLICT (task_id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in CHANGING)}"
)
_COUNT = (
    "INSERT INTO rm_task_counts (status, tasks) VALUES (?, ?) "
    "ON CONFLICT (status) DO UPDATE SET tasks = rm_task_counts.tasks + excluded.tasks"
)

Values = dict[str, Any]


def change(event: Recorded) -> Values:
    """The columns that an event sets; a KeyError for a topic that this version does not know."""
    state = orjson.loads(event.state)
    at = state["timestamp"]
    values: Values = {
        "status": status_of(event.topic, state),
        "updated_at": at,
        "position": event.position,
    }
    match event.topic:
        case Task.Requested.TOPIC:
            values |= dict.fromkeys(COLUMNS) | values
            values |= {
                "task_id": str(event.task_id),
                "owner": state["owner"],
                "template_id": state["template_id"],
                "created_at": at,
                "attempt": 1,
            }
        case Task.RetryScheduled.TOPIC:
            values |= _error(state) | {"attempt": state["attempt"], "retry_at": state["due_at"]}
        case Task.Dequeued.TOPIC | Task.RetryStarted.TOPIC | Task.CancelRequested.TOPIC:
            values |= {"retry_at": None}
        case Task.RetryRequested.TOPIC:
            values |= {"attempt": 1, "completed_at": None}
        case Task.Failed.TOPIC:
            values |= _error(state) | {"completed_at": at}
        case Task.Canceled.TOPIC:
            values |= {"completed_at": at}
        case Task.Succeeded.TOPIC:
            values |= {"code": None, "step": None, "message": None, "completed_at": at}
            values |= {name: state[name] for name in ("object_key", "size", "duration")}
        case Task.Erased.TOPIC:
            values |= {"object_key": None}
    return values


def _error(state: Values) -> Values:
    # PostgreSQL stores no NUL, and a message from elsewhere must not stop the read model.
    message = state["message"].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return {"code": state["code"], "step": state["step"], "message": message}


class TasksProjection:
    """Folds events into ``rm_tasks``, keeps count by status, and sets the dead letters apart."""

    name = NAME
    tables: Sequence[str] = ("rm_tasks", "rm_dead_letters", "rm_task_counts")

    async def clear(self, transaction: Transaction) -> None:
        """Nothing: each row is written anew, and the counts are kept by what the rows said."""

    async def apply(self, transaction: Transaction, events: Sequence[Recorded]) -> None:
        """Bring the rows up to date with events that were not applied before."""
        task_ids = list({str(event.task_id) for event in events})
        rows = await self._rows(transaction, task_ids)
        counts: Counter[str] = Counter()
        lost: list[Recorded] = []
        for row in rows.values():
            counts[row["status"]] -= 1
        for event in events:
            task_id, values = str(event.task_id), change(event)
            if event.topic == Task.Requested.TOPIC:
                rows[task_id] = values
            elif task_id in rows:
                rows[task_id].update(values)
            else:  # the log has lost its request: it is no task any more
                lost.append(event)
        for row in rows.values():
            counts[row["status"]] += 1
        written = [[row[column] for column in COLUMNS] for row in rows.values()]
        await transaction.execute_many(_UPSERT, written)
        await transaction.execute_many(_COUNT, [(s, n) for s, n in counts.items() if n])
        known = [event for event in events if event not in lost] if lost else events
        await dead_letters.apply(transaction, known, rows)

    async def _rows(self, transaction: Transaction, task_ids: list[str]) -> dict[str, Values]:
        marks = ", ".join("?" * len(task_ids))
        sql = (
            f"SELECT {', '.join(COLUMNS)} FROM rm_tasks "  # noqa: S608 -- made of names and marks
            f"WHERE task_id IN ({marks})"
        )
        rows = await transaction.fetch(sql, task_ids)
        return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


# --- queries

_WIRE_NAMES = {
    "task_id": "taskId",
    "status": "status",
    "template_id": "templateId",
    "attempt": "attempt",
    "message": "error",
    "code": "code",
    "step": "step",
    "object_key": "objectKey",
    "size": "bytes",
    "duration": "duration",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "completed_at": "completedAt",
    "retry_at": "retryAt",
    "position": "position",
}


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks under their wire names, absent values as None, and where the next page starts.

    Every event up to ``position`` is in: a stream that starts there misses nothing.
    """

    tasks: list[dict[str, Any]]
    next_cursor: str | None
    position: int


@dataclass(frozen=True, slots=True)
class ChangedTasks:
    """Tasks that something has happened to; all of it up to ``position`` is in."""

    task_ids: list[UUID]
    position: int


class TaskQueries:
    """What the gateway asks the read model for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        *,
        owner: str | None,
        status: str | None,
        template_id: str | None,
        since: datetime | None,
        cursor: str | None,
        limit: int,
    ) -> TaskPage:
        """The owner's tasks, or everybody's; newest first; ``since`` is the earliest creation.

        Raises:
            BadCursor: ``cursor`` is no ``next_cursor``.
        """
        conditions: list[str] = []
        params: list[Any] = []
        if owner is not None:
            conditions.append("owner = ?")
            params.append(owner)
        if status is not None:
            conditions.append("status = ?")
            params.append(status)
        if template_id is not None:
            conditions.append("template_id = ?")
            params.append(template_id)
        if since is not None:
            conditions.append("created_at >= ?")
            params.append(since.astimezone(UTC).isoformat())
        if cursor is not None:
            conditions.append("(created_at, task_id) < (?, ?)")
            params += decode(cursor)
        sql = (
            f"SELECT {', '.join(_WIRE_NAMES)} FROM rm_tasks "  # noqa: S608 -- made of names above
            f"WHERE {' AND '.join(conditions) or 'TRUE'} "
            "ORDER BY created_at DESC, task_id DESC LIMIT ?"
        )
        # Before the rows: they may be newer than the position says, never older.
        position = await self.position()
        rows = await self._database.fetch(sql, [*params, limit + 1])
        tasks = [dict(zip(_WIRE_NAMES.values(), row, strict=True)) for row in rows[:limit]]
        more = len(rows) > limit
        following = encode(tasks[-1]["createdAt"], tasks[-1]["taskId"]) if more else None
        return TaskPage(tasks, following, position)

    async def changed(self, owner: str, after: int, limit: int) -> ChangedTasks:
        """Up to ``limit`` of the owner's tasks that something has happened to since a position."""
        position = await self.position()
        sql = "SELECT task_id FROM rm_tasks WHERE owner = ? AND position > ? LIMIT ?"
        rows = await self._database.fetch(sql, (owner, after, limit))
        return ChangedTasks([UUID(task_id) for (task_id,) in rows], position)

    async def counts(self) -> dict[str, int]:
        """How many tasks there are in each status that has any."""
        rows = await self._database.fetch("SELECT status, tasks FROM rm_task_counts")
        return {status: int(tasks) for status, tasks in rows if tasks}

    async def position(self) -> int:
        """The position up to which the read model has come."""
        sql = "SELECT position FROM rm_positions WHERE name = ?"
        rows = await self._database.fetch(sql, (NAME,))
        return int(rows[0][0]) if rows else 0
