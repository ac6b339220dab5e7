"""The roster in PostgreSQL, by its clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from tts.ports.roster import Attendance, Notice
from tts.store.roster_rows import attendance

if TYPE_CHECKING:
    from tts.store.postgres_server import PostgresServer

# One statement. Who was here a moment ago need not be on disk, nor wait for a standby that is. The
# order is the same for all, so that no two wait for each other.
_TELL = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
told AS (
    SELECT t.* FROM quick, json_to_recordset(%s::json) AS t (part text, name text, facts text)
    ORDER BY part, name
), kept AS (
    INSERT INTO roster (part, name, at, facts)
    SELECT part, name, clock_timestamp(), facts FROM told
    ON CONFLICT (part, name) DO UPDATE SET at = excluded.at, facts = excluded.facts
), marked AS (
    INSERT INTO roster_last AS last (part, at)
    SELECT part, clock_timestamp() FROM (SELECT DISTINCT part FROM told) AS each ORDER BY part
    ON CONFLICT (part) DO UPDATE SET at = excluded.at
    WHERE last.at < excluded.at - interval '1 second'
), gone AS (
    DELETE FROM roster WHERE (part, name) IN (
        SELECT part, name FROM roster WHERE at < clock_timestamp() - interval '1 hour'
        FOR UPDATE SKIP LOCKED
    ) AND (part, name) NOT IN (SELECT part, name FROM told)
)
SELECT count(*) FROM told
"""
_LEAVE = """
WITH told AS (
    SELECT * FROM json_to_recordset(%s::json) AS t (part text, name text)
), marked AS (
    INSERT INTO roster_last (part, at)
    SELECT part, clock_timestamp() FROM (SELECT DISTINCT part FROM told) AS each ORDER BY part
    ON CONFLICT (part) DO UPDATE SET at = excluded.at
), gone AS (
    DELETE FROM roster WHERE (part, name) IN (SELECT part, name FROM told)
)
SELECT count(*) FROM told
"""
_READ = """
SELECT part, name, facts, extract(epoch FROM at)::float8,
       extract(epoch FROM clock_timestamp() - at)::float8
FROM roster
UNION ALL SELECT part, NULL, NULL, extract(epoch FROM at)::float8, NULL FROM roster_last
ORDER BY 1, 2
"""


class PostgresRoster:
    """Implements Roster of :mod:`tts.ports.roster`."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def tell(self, notices: Sequence[Notice]) -> None:
        """See :class:`tts.ports.roster.Roster`."""
        await self._server.query(_TELL, (_as_json(notices),))

    async def leave(self, notices: Sequence[Notice]) -> None:
        """See :class:`tts.ports.roster.Roster`."""
        await self._server.query(_LEAVE, (_as_json(notices),))

    async def read(self) -> Attendance:
        """See :class:`tts.ports.roster.Roster`."""
        return attendance(await self._server.query(_READ, ()))

    async def aclose(self) -> None:
        """The server is closed by whoever opened it."""


def _as_json(notices: Sequence[Notice]) -> str:
    rows = [
        {"part": each.part, "name": each.name, "facts": orjson.dumps(each.facts).decode()}
        for each in notices
    ]
    return orjson.dumps(rows).decode()
