"""What the gateway asks the read model "usage" for: to show it, and to hold quotas against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from projections.queries import Queries
from projections.usage import NAME, SUMS

_STANDING = """
SELECT p.position, o.owner, o.unfinished, u.day, u.characters
FROM read_models p
LEFT JOIN read_usage_owners o ON TRUE
LEFT JOIN read_usage_days u ON u.owner = o.owner AND u.day >= ?
WHERE p.name = ? AND p.serving AND p.position > 0
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What every owner has taken, as the log stood at ``position``.

    ``characters`` are by owner and day.
    """

    position: int
    unfinished: dict[str, int]
    characters: dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Owners by name with their days, newest first, under wire names; up to ``position``."""

    owners: list[dict[str, Any]]
    next_cursor: str | None
    position: int


class UsageQueries(Queries):
    """What the gateway asks the read model for; a day is written as 2025-01-31."""

    name = NAME

    async def standing(self, since: str) -> Standing:
        """Everybody's unfinished tasks, and the characters of each day from ``since`` on."""
        # One statement: rows and position are of one moment.
        rows = await self._database.fetch(_STANDING, (since, NAME))
        return Standing(
            position=int(rows[0][0]) if rows else 0,
            unfinished={owner: int(count) for _, owner, count, _, _ in rows if count},
            characters={
                (owner, day): int(characters) for _, owner, _, day, characters in rows if day
            },
        )

    async def page(
        self, *, owner: str | None, since: str, cursor: str | None, limit: int
    ) -> UsagePage:
        """The owner, or everybody behind the ``cursor``; with the days from ``since`` on.

        An owner that nothing is known of has taken nothing.
        """
        position = await self.position()  # before the rows, which may be newer, never older
        if owner is not None:
            sql = "SELECT owner, unfinished FROM read_usage_owners WHERE owner = ?"
            rows = await self._database.fetch(sql, (owner,)) or [(owner, 0)]
        else:
            after = ">= ?" if cursor is None else "> ?"
            sql = (
                "SELECT owner, unfinished FROM read_usage_owners "  # noqa: S608 -- of the words above
                f"WHERE owner {after} ORDER BY owner LIMIT ?"
            )
            rows = await self._database.fetch(sql, (cursor or "", limit + 1))
        unfinished = {name: int(count) for name, count in rows[:limit]}
        days = await self._days(list(unfinished), since)
        owners = [
            {"owner": name, "unfinished": count, "days": days[name]}
            for name, count in unfinished.items()
        ]
        more = len(rows) > limit
        return UsagePage(owners, owners[-1]["owner"] if more else None, position)

    async def _days(self, owners: list[str], since: str) -> dict[str, list[dict[str, Any]]]:
        days: dict[str, list[dict[str, Any]]] = {owner: [] for owner in owners}
        if not owners:
            return days
        marks = ", ".join("?" * len(owners))
        sql = (
            f"SELECT owner, day, {', '.join(SUMS)} FROM read_usage_days "  # noqa: S608 -- see marks
            f"WHERE owner IN ({marks}) AND day >= ? ORDER BY day DESC"
        )
        for owner, day, *sums in await self._database.fetch(sql, [*owners, since]):
            tasks, characters, predictions, predict_ms, audio_ms = map(int, sums)
            days[owner].append(
                {
                    "day": day,
                    "tasks": tasks,
                    "characters": characters,
                    "predictions": predictions,
                    "predictSeconds": predict_ms / 1000,
                    "audioSeconds": audio_ms / 1000,
                }
            )
        return days
