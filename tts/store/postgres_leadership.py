"""Leading over PostgreSQL: an advisory lock, which ends with its session.

The session is a lease: the server ends it when nothing is heard from it for a while. A leader that
is frozen, or whose loop hangs, so makes room for a standby. When it thaws, what it still does harms
nobody: its checkpoints and appends are such that an older one undoes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from typing import LiteralString

from psycopg import AsyncConnection

from tts.ports.errors import Unavailable
from tts.store.postgres_bounds import bounded
from tts.store.postgres_errors import translated
from tts.store.postgres_server import PostgresServer

CHECK_SECONDS = 1.0  # between two looks at the lock
LOOK_SECONDS = 2.0  # between two looks at the session that holds it
LEASE_SECONDS = 8

# Servers before version 14 have no such setting; they hear of a dead machine by TCP alone.
_LEASE = "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = 'idle_session_timeout'"
_TRY_LOCK = "SELECT pg_try_advisory_lock(7721, %s::int)"
# Locks are of the whole database, where services may stand side by side in schemas of their own.
_SCHEMA = "SELECT nullif(current_schema(), 'public')"


class SessionLeadership:
    """A leadership that lasts as long as the database session."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lost(self) -> None:
        """Return when the session is gone."""
        with contextlib.suppress(Unavailable), translated():
            while True:
                async with bounded(self._connection):
                    await self._connection.execute("SELECT 1")
                await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def session_leadership(server: PostgresServer, name: str) -> AsyncIterator[SessionLeadership]:
    """See :meth:`tts.ports.coordination.Coordination.leadership`."""
    with translated(f"while leading {name}"):
        connection = await server.connect_directly()
        try:
            async with bounded(connection):
                await connection.execute(_LEASE, (f"{LEASE_SECONDS}s",))
                schema = await _value(connection, _SCHEMA)
            key = zlib.crc32(f"{schema}.{name}".encode() if schema else name.encode())
            while not await _try_lock(connection, key):
                await asyncio.sleep(CHECK_SECONDS)
            yield SessionLeadership(connection)
        finally:
            await connection.close()


async def _try_lock(connection: AsyncConnection, key: int) -> bool:
    async with bounded(connection):
        return bool(await _value(connection, _TRY_LOCK, key - 2**31))


async def _value(connection: AsyncConnection, query: LiteralString, *params: object) -> object:
    cursor = await connection.execute(query, params)
    row = await cursor.fetchone()
    return row[0] if row else None
