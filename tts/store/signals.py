"""Signals between processes over PostgreSQL's NOTIFY, on a channel of their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from tts.store.postgres_bounds import bounded, notices
from tts.store.postgres_errors import translated
from tts.store.postgres_server import PostgresServer

CHANNEL = "tts_signals"


class PostgresSignals:
    """Implements Signals of :mod:`tts.ports.coordination` for all who share the database."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def send(self, word: str) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        await self._server.query("SELECT 1 FROM pg_notify(%s, %s)", (CHANNEL, word))

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """See :class:`tts.ports.coordination.Signals`."""
        with translated("before listening"):
            connection = await self._server.connect_directly()
        try:
            with translated("before listening"):
                async with bounded(connection):
                    await connection.execute(SQL("LISTEN {}").format(Identifier(CHANNEL)))
            yield _words(connection)
        finally:
            await connection.close()


async def _words(connection: AsyncConnection) -> AsyncIterator[str]:
    with translated("while listening"):
        async for notice in notices(connection):
            yield notice.payload
