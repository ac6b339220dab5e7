"""Signals between processes over PostgreSQL's NOTIFY, on a channel of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tts.store.postgres_listening import Listener, Listening
from tts.store.postgres_server import PostgresServer

CHANNEL = "tts_signals"


class PostgresSignals:
    """Implements Signals of :mod:`tts.ports.coordination` for all who share the database."""

    def __init__(self, server: PostgresServer, listening: Listening) -> None:
        self._server = server
        self._listening = listening

    async def send(self, word: str) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        await self._server.query("SELECT 1 FROM pg_notify(%s, %s)", (CHANNEL, word))

    async def listen(self, hear: Callable[[str], None], begun: Callable[[], None]) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        listener = Listener(frozenset([CHANNEL]), lambda notice: hear(notice.payload), begun)
        with self._listening.added(listener):
            await asyncio.Event().wait()
