"""The one session of a process that listens to PostgreSQL's NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from psycopg import Notify
from psycopg.sql import SQL, Identifier

from tts.patience import Outage
from tts.store.postgres_bounds import bounded, heed
from tts.store.postgres_errors import translated
from tts.store.postgres_server import PostgresServer


class Listener(NamedTuple):
    """Who listens to some channels.

    ``begun`` is called whenever they are listened to from now on: what was sent before, perhaps
    nobody has heard.
    """

    channels: frozenset[str]
    hear: Callable[[Notify], None]
    begun: Callable[[], None]


class Listening:
    """Any number of listeners share a session, which outages interrupt.

    Each NOTIFY wakes every session of the database that listens, to whatever channel, and costs it
    a transaction (SignalBackends in PostgreSQL's async.c): so a process has one.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._listeners: list[Listener] = []
        self._task: asyncio.Task[None] | None = None
        self._channels: frozenset[str] = frozenset()  # those of the session
        self._is_up = False

    def add(self, listener: Listener) -> None:
        """Listen for one more, from the next call of its ``begun`` on."""
        self._listeners.append(listener)
        if self._channels.issuperset(listener.channels):
            if self._is_up:
                listener.begun()
            return
        self._channels |= listener.channels
        self._is_up = False
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._listen())

    @contextlib.contextmanager
    def added(self, listener: Listener) -> Iterator[None]:
        """Listen for one more while the context is open."""
        self.add(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def aclose(self) -> None:
        """End the session."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _listen(self) -> None:
        outage = Outage("LISTEN is interrupted")

        async def listen() -> None:
            with translated():
                async with await self._server.connect_directly() as connection:
                    async with bounded(connection):
                        for channel in self._channels:
                            await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                    outage.over()
                    self._is_up = True
                    try:
                        for listener in self._listeners:
                            listener.begun()
                        await heed(connection, self._hear)
                    finally:
                        if self._task is asyncio.current_task():  # else another has taken its place
                            self._is_up = False

        await outage.wait_out(listen)

    def _hear(self, notice: Notify) -> None:
        for listener in self._listeners:
            if notice.channel in listener.channels:
                listener.hear(notice)
