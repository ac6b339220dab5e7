"""The dead letters of the read model "tasks": failed, not dismissed, and not erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from projections.cursor import decode, encode
from projections.ports import Database, Transaction
from tts.application.dead_letters import Letter, Selection
from tts.domain.task import Task
from tts.ports.log import Recorded

COLUMNS = (
    "task_id",
    "owner",
    "template_id",
    "failed_at",
    "code",
    "step",
    "permanent",
    "version",
)
GONE_TOPICS = frozenset({Task.RetryRequested.TOPIC, Task.Dismissed.TOPIC, Task.Erased.TOPIC})
_UPSERT = (
    f"INSERT INTO rm_dead_letters ({', '.join(COLUMNS)}) "  # noqa: S608 -- made of names above
    f"VALUES ({', '.join('?' * len(COLUMNS))}) "
    f"ON CONFLICT (task_id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in COLUMNS[1:])}"
)
_DELETE = "DELETE FROM rm_dead_letters WHERE task_id = ?"


async def apply(
    transaction: Transaction,
    events: Sequence[Recorded],
    tasks: Mapping[str, Mapping[str, Any]],
) -> None:
    """Bring the rows up to date; ``tasks`` are the rows of the events' tasks in ``rm_tasks``."""
    letters: dict[str, list[Any] | None] = {}
    for event in events:
        task_id = str(event.task_id)
        if event.topic == Task.Failed.TOPIC:
            state = orjson.loads(event.state)
            letters[task_id] = [
                task_id,
                tasks[task_id]["owner"],
                tasks[task_id]["template_id"],
                state["timestamp"],
                state["code"],
                state["step"],
                state["permanent"],
                event.version,
            ]
        elif event.topic in GONE_TOPICS:
            letters[task_id] = None
    if gone := [(task_id,) for task_id, letter in letters.items() if letter is None]:
        await transaction.execute_many(_DELETE, gone)
    if there := [letter for letter in letters.values() if letter is not None]:
        await transaction.execute_many(_UPSERT, there)


class DeadLetterQueries:
    """Implements :class:`tts.application.dead_letters.DeadLetterQueries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, selection: Selection, *, cursor: str | None, limit: int) -> list[Letter]:
        """The dead letters behind the cursor, those that failed last first.

        Raises:
            BadCursor: ``cursor`` is no letter's.
        """
        where, params = _where(selection, cursor)
        sql = (
            "SELECT task_id, version, failed_at FROM rm_dead_letters "  # noqa: S608 -- see _where
            f"WHERE {where} ORDER BY failed_at DESC, task_id DESC LIMIT ?"
        )
        rows = await self._database.fetch(sql, [*params, limit])
        return [
            Letter(UUID(task_id), int(version), encode(failed_at, task_id))
            for task_id, version, failed_at in rows
        ]

    async def counts(self, selection: Selection, *, cursor: str | None = None) -> dict[str, int]:
        """How many dead letters there are behind the cursor, by error code, most first.

        Raises:
            BadCursor: ``cursor`` is no letter's.
        """
        where, params = _where(selection, cursor)
        sql = (
            "SELECT code, count(*) FROM rm_dead_letters "  # noqa: S608 -- see _where
            f"WHERE {where} GROUP BY code ORDER BY count(*) DESC, code"
        )
        return {code: int(count) for code, count in await self._database.fetch(sql, params)}


def _where(selection: Selection, cursor: str | None) -> tuple[str, list[Any]]:
    """A condition made of this function's own words, and its parameters."""
    conditions: list[str] = []
    params: list[Any] = []
    equal = {
        "owner": selection.owner,
        "code": selection.code,
        "step": selection.step,
        "template_id": selection.template_id,
        "permanent": selection.permanent,
    }
    for column, value in equal.items():
        if value is not None:
            conditions.append(f"{column} = ?")
            params.append(value)
    if selection.since is not None:
        conditions.append("failed_at >= ?")
        params.append(_time(selection.since))
    if selection.until is not None:
        conditions.append("failed_at < ?")
        params.append(_time(selection.until))
    if cursor is not None:
        conditions.append("(failed_at, task_id) < (?, ?)")
        params += decode(cursor)
    return " AND ".join(conditions) or "TRUE", params


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
