"""Events that go from the log in PostgreSQL into an archive, and come back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import orjson

from tts.ports.archive import ArchiveStanding
from tts.ports.errors import Unfit
from tts.ports.log import ArchivedTask, Recorded
from tts.store.postgres_errors import translated
from tts.store.postgres_server import PostgresServer

_STANDINGS = "SELECT name, tasks, position, done FROM archives ORDER BY name"
_MAY = (
    "SELECT current_user, has_table_privilege('stored_events', 'DELETE') "
    "AND has_table_privilege('archived_tasks', 'INSERT') "
    "AND has_table_privilege('archives', 'INSERT')"
)
_BEGIN = "INSERT INTO archives VALUES (%s, 0, 0, false) ON CONFLICT (name) DO NOTHING RETURNING 1"
_FINISH = "UPDATE archives SET done = true WHERE name = %s RETURNING 1"
_FORGET = "DELETE FROM archives WHERE name = %s AND tasks = 0 RETURNING 1"
_MOVE = "SELECT tts_archive(%s, %s::json)"
# One statement is one transaction: whoever asks for a task meets it in one of the two places.
_RESTORE = """
WITH given AS (
    SELECT * FROM json_to_recordset(%s::json) AS g (
        "position" bigint, id uuid, version bigint, topic text, state text
    )
), back AS (
    DELETE FROM archived_tasks
    WHERE archive = %s AND task_id IN (SELECT id FROM given) RETURNING task_id
), placed AS (
    INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id)
    SELECT g.id, g.version, g.topic, convert_to(g.state, 'UTF8'), g."position"
    FROM given g JOIN back b ON b.task_id = g.id
), counted AS (
    SELECT count(*) AS tasks FROM back
)
UPDATE archives a SET tasks = a.tasks - c.tasks FROM counted c WHERE a.name = %s RETURNING c.tasks
"""


class PostgresArchive:
    """Implements LogArchive of :mod:`tts.ports.archive`."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def standings(self) -> list[ArchiveStanding]:
        """See :class:`tts.ports.archive.LogArchive`."""
        return [ArchiveStanding(*row) for row in await self._server.query(_STANDINGS, ())]

    async def begin(self, name: str) -> None:
        """See :class:`tts.ports.archive.LogArchive`."""
        ((role, may),) = await self._server.query(_MAY, ())
        if not may:
            raise Unfit(
                f"the role {role} may not take events out of the log, as is right for the service: "
                "run this with the EVENT_STORE_URL of the tables' owner"
            )
        await self._server.query(_BEGIN, (name,))

    async def move(self, name: str, tasks: Sequence[ArchivedTask]) -> set[UUID]:
        """See :class:`tts.ports.archive.LogArchive`."""
        chosen = [
            {
                "id": task.task_id,
                "owner": task.owner,
                "version": task.version,
                "position": task.position,
                "facts": task.facts,
            }
            for task in tasks
        ]
        ((moved,),) = await self._server.query(_MOVE, (name, orjson.dumps(chosen).decode()))
        return set(moved)

    async def finish(self, name: str) -> None:
        """See :class:`tts.ports.archive.LogArchive`."""
        await self._server.query(_FINISH, (name,))
        await self._server.query(_FORGET, (name,))

    async def restore(self, name: str, events: Sequence[Recorded]) -> int:
        """See :class:`tts.ports.archive.LogArchive`."""
        given = [
            {
                "position": event.position,
                "id": event.task_id,
                "version": event.version,
                "topic": event.topic,
                "state": event.state.decode(),
            }
            for event in events
        ]
        rows = await self._server.query(_RESTORE, (orjson.dumps(given).decode(), name, name))
        return int(rows[0][0]) if rows else 0

    async def free_space(self) -> str:
        """See :class:`tts.ports.archive.LogArchive`.

        Autovacuum leaves the log alone, which is only appended to. Nothing is cut off at the end of
        the table, since readers would have to stand back for that.
        """
        with translated():
            async with await self._server.connect_directly() as connection:
                await connection.execute("VACUUM (ANALYZE, TRUNCATE false) stored_events")
        return "The room is free in the table (VACUUM), and is used by what comes next."
