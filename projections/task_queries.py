"""What the gateway asks the read model "tasks" for: lists and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from projections.cursor import decode, encode
from projections.queries import Queries, condition
from projections.tasks import NAME, PHASES, TASKS, UNFINISHED, TasksProjection
from tts.application.task_list import TaskSelection
from tts.domain.values import Status

LOOKED_AT_MAX = 2_000  # rows that one page looks at for what no index finds

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
_ORDER = "ORDER BY created_at DESC, task_id DESC"


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks under their wire names, absent values as None, and where the next page starts.

    Every event up to ``position`` is in: a stream that starts there misses nothing.
    """

    tasks: list[dict[str, Any]]
    next_cursor: str | None
    position: int

    def behind(self, number: int) -> str | None:
        """The cursor behind that task of the page; None if there is nothing."""
        if number == len(self.tasks) - 1:
            return self.next_cursor
        return encode(self.tasks[number]["createdAt"], self.tasks[number]["taskId"])

    def choice(self, tasks: list[dict[str, Any]], cursor: str | None, position: int) -> TaskPage:
        """Another page, of tasks that were chosen from this one and from pages before."""
        return TaskPage(tasks, cursor, position)


@dataclass(frozen=True, slots=True)
class ChangedTasks:
    """Tasks that something has happened to; all of it up to ``position`` is in."""

    task_ids: list[UUID]
    position: int


class TaskQueries(Queries):
    """Lists are newest first; a page costs the same however many tasks there are."""

    name = NAME

    async def page(self, selection: TaskSelection, *, cursor: str | None, limit: int) -> TaskPage:
        """The tasks behind the cursor.

        Of filters that no index serves together, a page looks at so many rows and no more: it may
        have fewer tasks than ``limit``, or none, and still a next page.

        Raises:
            BadCursor: ``cursor`` is no ``next_cursor``.
        """
        behind = decode(cursor) if cursor is not None else None
        # Before the rows: they may be newer than the position says, never older.
        position, place = await self._standing()
        walk = _Walk(TASKS.at(place), selection, behind)
        sql, params = walk.rows(limit + 1)
        rows = await self._database.fetch(sql, params)
        tasks = [dict(zip(_WIRE_NAMES.values(), row, strict=True)) for row in rows[:limit]]
        following = None
        if len(rows) > limit:
            following = encode(tasks[-1]["createdAt"], tasks[-1]["taskId"])
        elif walk.is_bounded:
            sql, params = walk.end()
            ends = await self._database.fetch(sql, params)
            following = encode(*ends[0]) if ends else None
        return TaskPage(tasks, following, position)

    async def changed(self, owner: str, after: int, limit: int) -> ChangedTasks:
        """Up to ``limit`` of the owner's tasks that something has happened to since a position."""
        # Rows of an older version do not say when a task was over.
        position, place = await self._standing(version=TasksProjection.version)
        table = TASKS.at(place)
        rows = await self._database.fetch(*_changed(table, owner, after, limit))
        return ChangedTasks([UUID(task_id) for (task_id,) in rows], position)

    async def counts(self) -> dict[str, int]:
        """How many tasks there are in each status that has any."""
        rows = await self._database.fetch("SELECT status, tasks FROM read_task_counts")
        return {status: int(tasks) for status, tasks in rows if tasks}


def _changed(table: str, owner: str, after: int, limit: int) -> tuple[str, list[object]]:
    """The query for tasks that changed, and its parameters: of those that are over by an index.

    Of the others all are looked at: they are few however long the log is.
    """
    marks = ", ".join("?" * len(UNFINISHED))
    sql = (
        f"SELECT task_id FROM {table} WHERE owner = ? AND final_position > ? "  # noqa: S608
        f"UNION ALL SELECT task_id FROM {table} WHERE owner = ? AND phase IN ({marks}) "
        "AND position > ? LIMIT ?"
    )
    return sql, [owner, after, owner, *sorted(UNFINISHED), after, limit]


class _Walk:
    """The way back in time through the rows of one index, and what is left out on it."""

    def __init__(
        self, table: str, selection: TaskSelection, behind: tuple[str, str] | None
    ) -> None:
        self._table = table
        equal, self._rest = _index(selection)
        self._prefix = selection.id_prefix
        self._where, self._params = condition(
            equal, "created_at", since=selection.since, until=selection.until, behind=behind
        )

    @property
    def is_bounded(self) -> bool:
        """Whether the way may end before the rows do."""
        return bool(self._rest) and self._prefix is None

    def rows(self, limit: int) -> tuple[str, list[object]]:
        """The query for the first ``limit`` rows that are not left out, and its parameters."""
        names = ", ".join(_WIRE_NAMES)
        rest = [f"{column} = ?" for column in self._rest]
        if self._prefix is not None:
            # Ids that begin alike stand together, and are few.
            looked_at, conditions = "task_id >= ? AND task_id < ?", [self._where, *rest]
            order = "ORDER BY task_id DESC"
            params = [self._prefix, f"{self._prefix}g", *self._params, *self._rest.values()]
        elif rest:
            looked_at, conditions, order = self._where, rest, _ORDER
            params = [*self._params, *self._rest.values()]
        else:
            sql = f"SELECT {names} FROM {self._table} WHERE {self._where} {_ORDER} LIMIT ?"  # noqa: S608
            return sql, [*self._params, limit]
        sql = (
            f"SELECT {names} FROM (SELECT * FROM {self._table} WHERE {looked_at} {order} "  # noqa: S608
            f"LIMIT {LOOKED_AT_MAX}) looked_at "
            f"WHERE {' AND '.join(conditions)} {_ORDER} LIMIT ?"
        )
        return sql, [*params, limit]

    def end(self) -> tuple[str, list[object]]:
        """The query for where the way ends, if rows are left there."""
        sql = (
            f"SELECT created_at, task_id FROM {self._table} WHERE {self._where} {_ORDER} "  # noqa: S608
            f"LIMIT 1 OFFSET {LOOKED_AT_MAX - 1}"
        )
        return sql, self._params


def _index(selection: TaskSelection) -> tuple[dict[str, str], dict[str, str]]:
    """The columns, with their values, whose index is gone through, and those that are looked at.

    Successes are many; whatever else is asked for is rarer.
    """
    asked = {
        "code": selection.code,
        "status": selection.status,
        "template_id": selection.template_id,
        "owner": selection.owner,
    }
    rest = {column: value for column, value in asked.items() if value is not None}
    equal: dict[str, str] = {}
    if "code" in rest and selection.id_prefix is None:
        equal["code"] = rest.pop("code")
        return equal, rest
    if selection.id_prefix is not None:
        return equal, rest
    if "owner" in rest:
        equal["owner"] = rest.pop("owner")
    is_common = selection.status == Status.SUCCEEDED and "template_id" in rest
    if "status" in rest and not is_common:
        phase = PHASES.get(rest["status"], "")
        equal["phase"] = phase
        if phase == rest["status"]:
            del rest["status"]
    elif "template_id" in rest:
        equal["template_id"] = rest.pop("template_id")
    return equal, rest
