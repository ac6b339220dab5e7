"""The event store in PostgreSQL: the distributed deployment's."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.resources import files
from uuid import UUID

import orjson
import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from tts.patience import Outage
from tts.ports.log import SECRET_BYTES, LogSecret, Payload, Recorded
from tts.store.group_commit import Append, GroupCommit
from tts.store.postgres_leadership import SessionLeadership, session_leadership
from tts.store.postgres_server import LONG_LIVED, PATIENCE_SECONDS, PostgresServer, translated
from tts.store.tailer import Bell, follow

EVERYTHING = "stored_events"  # the channel that every append notifies
PARTIAL = "TT001"  # raised by tts_append

_APPEND = "SELECT last_position FROM tts_append(%s::json)"
_COLUMNS = (
    "SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events "
)
_READ = _COLUMNS + "WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
_READ_TOPICS = (
    _COLUMNS + "WHERE notification_id > %s AND topic = ANY (%s) ORDER BY notification_id LIMIT %s"
)
_EVENTS = _COLUMNS + "WHERE originator_id = %s ORDER BY originator_version"
_PAYLOAD = "SELECT text, instruction, salt FROM payloads WHERE task_id = %s"
_KEY = "SELECT key, position FROM secrets WHERE name = 'tasks'"
_INSERT_KEY = (
    "INSERT INTO secrets SELECT 'tasks', %s, coalesce(max(notification_id), 0) FROM stored_events "
    "ON CONFLICT DO NOTHING RETURNING 1"
)
_CHECKPOINT = "SELECT position FROM checkpoints WHERE name = %s"
_SAVE_CHECKPOINT = (
    "INSERT INTO checkpoints AS c VALUES (%s, %s) ON CONFLICT (name) DO UPDATE "
    "SET position = greatest(c.position, excluded.position) RETURNING position"
)


class PostgresStore:
    """Implements EventStore, Log and Coordination of :mod:`tts.ports` on one database."""

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.server = PostgresServer(url, readers=readers)
        self._writer: AsyncConnection | None = None
        self._group = GroupCommit(self._commit)
        self._bell = Bell()
        self._listening: asyncio.Task[None] | None = None
        self._channels: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Make the tables if need be, and connect."""
        await self.server.open(files(__package__).joinpath("postgres.sql").read_text())
        await self.secret()  # so that it is as old as the log

    async def aclose(self) -> None:
        """Settle what was asked for and disconnect."""
        await self._group.flush()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._writer is not None:
            await self._writer.close()
        await self.server.aclose()

    async def ready(self) -> None:
        """Return if the server answers, else raise Unavailable."""
        await self.server.query("SELECT 1", ())

    # --- EventStore

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None = None) -> int:
        """See :class:`tts.ports.log.EventStore`."""
        return await self._group.append(events, payload)

    async def events(self, task_id: UUID) -> list[Recorded]:
        """See :class:`tts.ports.log.EventStore`."""
        return [Recorded(*row) for row in await self.server.query(_EVENTS, (task_id,))]

    async def payload(self, task_id: UUID) -> Payload | None:
        """See :class:`tts.ports.log.EventStore`."""
        rows = await self.server.query(_PAYLOAD, (task_id,))
        return Payload(*rows[0]) if rows else None

    async def secret(self) -> LogSecret:
        """See :class:`tts.ports.log.EventStore`."""
        while not (rows := await self.server.query(_KEY, ())):
            await self.server.query(_INSERT_KEY, (secrets.token_bytes(SECRET_BYTES),))
        return LogSecret(*rows[0])

    async def erase(self, task_id: UUID) -> None:
        """See :class:`tts.ports.log.EventStore`; the file has it until the next vacuum."""
        await self.server.query("DELETE FROM payloads WHERE task_id = %s RETURNING 1", (task_id,))

    # --- Log

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """See :class:`tts.ports.log.Log`."""
        if topics:
            rows = await self.server.query(_READ_TOPICS, (after, list(topics), limit))
        else:
            rows = await self.server.query(_READ, (after, limit))
        return [Recorded(*row) for row in rows]

    async def position(self) -> int:
        """See :class:`tts.ports.log.Log`."""
        sql = "SELECT coalesce(max(notification_id), 0) FROM stored_events"
        return int((await self.server.query(sql, ()))[0][0])

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """See :class:`tts.ports.log.Log`."""
        self._listen_to(topics or (EVERYTHING,))
        return follow(partial(self.read, topics=topics), self._bell, after, batch)

    # --- Coordination

    def leadership(self, name: str) -> AbstractAsyncContextManager[SessionLeadership]:
        """See :class:`tts.ports.coordination.Coordination`."""
        return session_leadership(self.server, name)

    async def checkpoint(self, name: str) -> int:
        """See :class:`tts.ports.coordination.Coordination`."""
        rows = await self.server.query(_CHECKPOINT, (name,))
        return int(rows[0][0]) if rows else 0

    async def save_checkpoint(self, name: str, position: int) -> None:
        """See :class:`tts.ports.coordination.Coordination`."""
        await self.server.query(_SAVE_CHECKPOINT, (name, position))

    # --- inside

    async def _commit(self, batch: list[Append]) -> list[int | None]:
        write = partial(self._write, batch)
        try:
            positions = await Outage().wait_out(write, at_most=PATIENCE_SECONDS)
        except psycopg.Error as error:
            if len(batch) > 1 or error.sqlstate != PARTIAL:
                raise
            return [None]
        return [
            await self._same(append) if position is None else position
            for append, position in zip(batch, positions, strict=True)
        ]

    async def _write(self, batch: list[Append]) -> list[int | None]:
        with translated():
            if self._writer is None or self._writer.closed:
                self._writer = await self.server.connect()
            cursor = await self._writer.execute(
                _APPEND, (_as_json(batch),), prepare=True, binary=True
            )
            return [row[0] for row in await cursor.fetchall()]

    async def _same(self, append: Append) -> int | None:
        """The last position if exactly these events stand in the log already.

        The reply to a commit can be lost with its connection; the repetition then meets its own
        events, which is no conflict.
        """
        stored = {row.version: row for row in await self.events(append.task_id)}
        for event in append.events:
            row = stored.get(event.originator_version)
            if row is None or (row.topic, row.state) != (event.topic, event.state):
                return None
        return stored[append.events[-1].originator_version].position

    def _listen_to(self, channels: Collection[str]) -> None:
        if not self._channels.issuperset(channels):
            self._channels = self._channels.union(channels)
            if self._listening is not None:
                self._listening.cancel()
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        outage = Outage("LISTEN is interrupted")

        async def listen() -> None:
            with translated():
                async with await self.server.connect(LONG_LIVED) as connection:
                    for channel in self._channels:
                        await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                    outage.over()
                    # What was committed before the LISTEN was announced to nobody.
                    self._bell.kick()
                    async for _ in connection.notifies():
                        self._bell.kick()

        await outage.wait_out(listen)


def _as_json(batch: list[Append]) -> str:
    events = []
    for n, append in enumerate(batch):
        for event in append.events:
            row = {
                "append": n,
                "id": event.originator_id,
                "version": event.originator_version,
                "topic": event.topic,
                "state": event.state.decode(),
            }
            events.append(row)
        if (payload := append.payload) is not None:
            row |= {
                "text": payload.text,
                "instruction": payload.instruction,
                "salt": payload.salt,
            }
    return orjson.dumps(events).decode()
