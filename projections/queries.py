"""What queries of read models have in common: how far one has come, and which rows are meant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from projections.ports import Database
from projections.table import PLACES

POLL_SECONDS = 0.02
_STANDING = "SELECT position, place FROM read_models WHERE name = ? AND serving AND version >= ?"


class Queries:
    """What is asked of the read model of that name."""

    name: str

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self) -> int:
        """The position up to which the read model has come."""
        position, _ = await self._standing()
        return position

    async def _standing(self, *, version: int = 0) -> tuple[int, int]:
        """The position, and the place where the rows are; nothing if they are of an older version.

        An older process may still make them while a service is upgraded.
        """
        rows = await self._database.fetch(_STANDING, (self.name, version))
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, PLACES[0])

    async def reach(self, position: int, seconds: float) -> int:
        """Wait until the read model has come to ``position``, for so long at most.

        Returns the position that it has come to.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (there := await self.position()) < position and loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        return there


def condition(
    equal: Mapping[str, object],
    time: str,
    *,
    since: datetime | None,
    until: datetime | None,
    behind: tuple[str, str] | None,
) -> tuple[str, list[object]]:
    """A condition made of our own words, and its parameters.

    ``time`` is the column that rows are ordered by, and their task's id after it; ``behind`` is
    the time and the task of the row that the page before ended with.
    """
    conditions = [f"{column} = ?" for column in equal]
    params = list(equal.values())
    for compared, bound in ((">=", since), ("<", until)):
        if bound is not None:
            conditions.append(f"{time} {compared} ?")
            params.append(bound.astimezone(UTC).isoformat())
    if behind is not None:
        conditions.append(f"({time}, task_id) < (?, ?)")
        params += behind
    return " AND ".join(conditions) or "TRUE", params
