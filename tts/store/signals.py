"""Signals between processes over PostgreSQL's NOTIFY, on a channel of their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from tts.ports.errors import Unavailable
from tts.store.postgres import ERRORS, LONG_LIVED, PostgresStore

CHANNEL = "tts_signals"


class PostgresSignals:
    """Implements Signals of :mod:`tts.ports.log` for all processes that share the database."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    async def send(self, word: str) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        await self._store.query("SELECT 1 FROM pg_notify(%s, %s)", (CHANNEL, word))

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """See :class:`tts.ports.coordination.Signals`."""
        connection = await self._listening()
        try:
            yield _words(connection)
        finally:
            await connection.close()

    async def _listening(self) -> AsyncConnection:
        try:
            connection = await self._store.connect(LONG_LIVED)
            try:
                await connection.execute(SQL("LISTEN {}").format(Identifier(CHANNEL)))
            except BaseException:
                await connection.close()
                raise
        except ERRORS as error:
            raise Unavailable(f"PostgreSQL, before listening: {error}") from error
        return connection


async def _words(connection: AsyncConnection) -> AsyncIterator[str]:
    try:
        async for notice in connection.notifies():
            yield notice.payload
    except ERRORS as error:
        raise Unavailable(f"PostgreSQL, while listening: {error}") from error
