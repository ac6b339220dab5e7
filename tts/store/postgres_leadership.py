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

from psycopg import AsyncConnection

from tts.ports.errors import Unavailable
from tts.store.postgres_errors import translated
from tts.store.postgres_server import LONG_LIVED, PostgresServer, bounded

CHECK_SECONDS = 1.0  # between two looks at the lock, and at the session that holds it
LEASE_SECONDS = 8

# Servers before version 14 have no such setting; they hear of a dead machine by TCP alone.
_LEASE = "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = 'idle_session_timeout'"
_TRY_LOCK = "SELECT pg_try_advisory_lock(7721, %s::int)"


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
                await asyncio.sleep(CHECK_SECONDS)


@contextlib.asynccontextmanager
async def session_leadership(server: PostgresServer, name: str) -> AsyncIterator[SessionLeadership]:
    """See :meth:`tts.ports.coordination.Coordination.leadership`."""
    with translated(f"while leading {name}"):
        connection = await server.connect(LONG_LIVED)
        try:
            async with bounded(connection):
                await connection.execute(_LEASE, (f"{LEASE_SECONDS}s",))
            while not await _try_lock(connection, zlib.crc32(name.encode())):
                await asyncio.sleep(CHECK_SECONDS)
            yield SessionLeadership(connection)
        finally:
            await connection.close()


async def _try_lock(connection: AsyncConnection, key: int) -> bool:
    async with bounded(connection):
        cursor = await connection.execute(_TRY_LOCK, (key - 2**31,))
        row = await cursor.fetchone()
    return bool(row and row[0])
