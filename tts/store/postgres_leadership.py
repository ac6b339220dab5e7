"""Leading over PostgreSQL: an advisory lock, which ends with its session."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator

from psycopg import AsyncConnection

from tts.store.postgres_server import (
    ERRORS,
    LONG_LIVED,
    PATIENCE_SECONDS,
    PostgresServer,
    translated,
)

CHECK_SECONDS = 1.0  # between two looks at the lock, and at the session that holds it


class SessionLeadership:
    """A leadership that lasts as long as the database session."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lost(self) -> None:
        """Return when the session is gone."""
        with contextlib.suppress(*ERRORS, TimeoutError):
            while True:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._connection.execute("SELECT 1")
                await asyncio.sleep(CHECK_SECONDS)


@contextlib.asynccontextmanager
async def session_leadership(server: PostgresServer, name: str) -> AsyncIterator[SessionLeadership]:
    """See :meth:`tts.ports.coordination.Coordination.leadership`."""
    with translated(f"while leading {name}"):
        connection = await server.connect(LONG_LIVED)
        try:
            while not await _try_lock(connection, zlib.crc32(name.encode())):
                await asyncio.sleep(CHECK_SECONDS)
            yield SessionLeadership(connection)
        finally:
            await connection.close()


async def _try_lock(connection: AsyncConnection, key: int) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(7721, %s::int)", (key - 2**31,))
    row = await cursor.fetchone()
    return bool(row and row[0])
