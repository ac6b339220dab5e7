"""What is asked of the read model "dead_letters": pages and counts."""

from __future__ import annotations

from uuid import UUID

from projections.cursor import decode, encode
from projections.dead_letters import LETTERS, NAME
from projections.queries import Queries, condition
from tts.application.dead_letters import Letter, Selection

COUNTED = frozenset({"owner", "code"})  # what the table of counts tells apart


class DeadLetterQueries(Queries):
    """Implements :class:`tts.application.dead_letters.DeadLetterQueries`."""

    name = NAME

    async def page(self, selection: Selection, *, cursor: str | None, limit: int) -> list[Letter]:
        """The dead letters behind the cursor, those that failed last first.

        Raises:
            BadCursor: ``cursor`` is no letter's.
        """
        where, params = _where(selection, cursor)
        _, place = await self._standing()
        sql = (
            f"SELECT task_id, version, failed_at FROM {LETTERS.at(place)} "  # noqa: S608 -- see condition
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
        table, number = "read_dead_letters", "count(*)"
        if cursor is None and _asked(selection) <= COUNTED:
            table, number = "read_dead_letter_counts", "sum(letters)"
        sql = (
            f"SELECT code, {number} FROM {table} WHERE {where} "  # noqa: S608 -- see condition
            f"GROUP BY code HAVING {number} > 0 ORDER BY {number} DESC, code"
        )
        return {code: int(count) for code, count in await self._database.fetch(sql, params)}


def _asked(selection: Selection) -> set[str]:
    """The names of what is asked for."""
    names = ("owner", "code", "step", "template_id", "permanent", "since", "until")
    return {name for name in names if getattr(selection, name) is not None}


def _where(selection: Selection, cursor: str | None) -> tuple[str, list[object]]:
    equal = {
        "owner": selection.owner,
        "code": selection.code,
        "step": selection.step,
        "template_id": selection.template_id,
        "permanent": selection.permanent,
    }
    return condition(
        {column: value for column, value in equal.items() if value is not None},
        "failed_at",
        since=selection.since,
        until=selection.until,
        behind=None if cursor is None else decode(cursor),
    )
