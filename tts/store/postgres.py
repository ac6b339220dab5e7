"""The event store in PostgreSQL: the distributed deployment's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tts.ports.errors import Unavailable
from tts.ports.log import Payload, Recorded
from tts.store.group_commit import Append, GroupCommit
from tts.store.tailer import BACKOFF_SECONDS, Bell, follow

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_SECONDS = 5.0  # an append or a read waits this long for the server before it gives up
LEADERSHIP_CHECK_SECONDS = 1.0
EVERYTHING = "stored_events"  # the channel that every append notifies
PARTIAL = "TT001"  # raised by tts_append
# A peer whose machine vanished without a word is found out within seconds, on either side: else its
# session would keep the leadership for the system's two hours.
_KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SERVER_KEEPALIVES = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
)
OPTIONS = (
    _SERVER_KEEPALIVES + "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=10000"
)
LONG_LIVED = _SERVER_KEEPALIVES + "-c statement_timeout=0"
ERRORS = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError)

_APPEND = "SELECT last_position FROM tts_append(%s::json)"
_COLUMNS = (
    "SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events "
)
_READ = _COLUMNS + "WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
_READ_TOPICS = (
    _COLUMNS + "WHERE notification_id > %s AND topic = ANY (%s) ORDER BY notification_id LIMIT %s"
)
_EVENTS = _COLUMNS + "WHERE originator_id = %s ORDER BY originator_version"
_NEWEST = (
    "SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events e "
    "WHERE topic <> ALL (%s) AND NOT EXISTS (SELECT 1 FROM stored_events later "
    "WHERE later.originator_id = e.originator_id "
    "AND later.originator_version = e.originator_version + 1) ORDER BY notification_id"
)


class PostgresStore:
    """Implements EventStore, Log and Coordination of :mod:`tts.ports.log` on one database."""

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self._url = url
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=readers,
            open=False,
            timeout=PATIENCE_SECONDS,
            kwargs={"autocommit": True, "options": OPTIONS, **_KEEPALIVES},
        )
        self._writer: AsyncConnection | None = None
        self._group = GroupCommit(self._commit)
        self._bell = Bell()
        self._listening: asyncio.Task[None] | None = None
        self._channels: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Make the tables if need be, and connect."""
        schema = files(__package__).joinpath("postgres.sql").read_text()
        try:
            async with await self.connect() as connection, connection.transaction():
                # CREATE … IF NOT EXISTS races with itself when two processes start at once.
                await connection.execute("SELECT pg_advisory_xact_lock(7721000)")
                await connection.execute(schema)
            await self._pool.open(wait=True, timeout=PATIENCE_SECONDS)
        except ERRORS as error:
            raise Unavailable(f"PostgreSQL: {error}") from error

    async def aclose(self) -> None:
        """Settle what was asked for and disconnect."""
        await self._group.flush()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._writer is not None:
            await self._writer.close()
        await self._pool.close()

    async def ready(self) -> None:
        """Return if the server answers, else raise Unavailable."""
        await self.query("SELECT 1", ())

    # --- EventStore

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None = None) -> int:
        """See :class:`tts.ports.log.EventStore`."""
        return await self._group.append(events, payload)

    async def events(self, task_id: UUID) -> list[Recorded]:
        """See :class:`tts.ports.log.EventStore`."""
        return [Recorded(*row) for row in await self.query(_EVENTS, (task_id,))]

    async def payload(self, task_id: UUID) -> Payload | None:
        """See :class:`tts.ports.log.EventStore`."""
        sql = "SELECT text, instruction, salt FROM payloads WHERE task_id = %s"
        rows = await self.query(sql, (task_id,))
        return Payload(*rows[0]) if rows else None

    async def erase(self, task_id: UUID) -> None:
        """See :class:`tts.ports.log.EventStore`; the file has it until the next vacuum."""
        await self.query("DELETE FROM payloads WHERE task_id = %s RETURNING 1", (task_id,))

    # --- Log

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """See :class:`tts.ports.log.Log`."""
        if topics:
            rows = await self.query(_READ_TOPICS, (after, list(topics), limit))
        else:
            rows = await self.query(_READ, (after, limit))
        return [Recorded(*row) for row in rows]

    async def position(self) -> int:
        """See :class:`tts.ports.log.Log`."""
        rows = await self.query("SELECT coalesce(max(notification_id), 0) FROM stored_events", ())
        return int(rows[0][0])

    async def newest(self, *, excluding: Sequence[str]) -> list[Recorded]:
        """See :class:`tts.ports.log.Log`."""
        return [Recorded(*row) for row in await self.query(_NEWEST, (list(excluding),))]

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """See :class:`tts.ports.log.Log`."""
        self._listen_to(topics or (EVERYTHING,))
        return follow(partial(self.read, topics=topics), self._bell, after, batch)

    # --- Coordination

    @contextlib.asynccontextmanager
    async def leadership(self, name: str) -> AsyncIterator[SessionLeadership]:
        """See :class:`tts.ports.coordination.Coordination`; a session's advisory lock."""
        while True:
            try:
                connection = await self.connect(LONG_LIVED)
                break
            except ERRORS:
                await asyncio.sleep(LEADERSHIP_CHECK_SECONDS)
        try:
            while not await _try_lock(connection, zlib.crc32(name.encode())):
                await asyncio.sleep(LEADERSHIP_CHECK_SECONDS)
            yield SessionLeadership(connection)
        except ERRORS as error:
            raise Unavailable(f"PostgreSQL, while leading {name}: {error}") from error
        finally:
            await connection.close()

    async def checkpoint(self, name: str) -> int:
        """See :class:`tts.ports.coordination.Coordination`."""
        rows = await self.query("SELECT position FROM checkpoints WHERE name = %s", (name,))
        return int(rows[0][0]) if rows else 0

    async def save_checkpoint(self, name: str, position: int) -> None:
        """See :class:`tts.ports.coordination.Coordination`."""
        await self.query(
            "INSERT INTO checkpoints AS c VALUES (%s, %s) ON CONFLICT (name) DO UPDATE "
            "SET position = greatest(c.position, excluded.position) RETURNING position",
            (name, position),
        )

    # --- inside

    async def connect(self, options: str = OPTIONS) -> AsyncConnection:
        """A connection of one's own, in autocommit; one that vanishes is found out in seconds.

        Raises:
            one of ``ERRORS``
        """
        return await AsyncConnection.connect(
            self._url,
            autocommit=True,
            options=options,
            connect_timeout=int(PATIENCE_SECONDS),
            **_KEEPALIVES,
        )

    async def query(self, sql: str, params: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """The rows that a statement returns, in a transaction of its own.

        Raises:
            Unavailable: the server did not answer in time.
        """

        async def run() -> list[tuple[Any, ...]]:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql, params, prepare=True, binary=True)
                return await cursor.fetchall()

        # psycopg waits with asyncio.wait_for, which in Python 3.11 forgets a cancellation that
        # meets the answer: whoever canceled us would wait for ever.
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        rows = await _patiently(run)
        if task and task.cancelling() > cancellations:
            raise asyncio.CancelledError
        return rows

    async def _commit(self, batch: list[Append]) -> list[int | None]:
        try:
            positions = await _patiently(lambda: self._write(batch))
        except psycopg.Error as error:
            if len(batch) > 1 or error.sqlstate != PARTIAL:
                raise
            return [None]
        return [
            await self._same(append) if position is None else position
            for append, position in zip(batch, positions, strict=True)
        ]

    async def _write(self, batch: list[Append]) -> list[int | None]:
        if self._writer is None or self._writer.closed:
            self._writer = await self.connect()
        cursor = await self._writer.execute(_APPEND, (_as_json(batch),), prepare=True, binary=True)
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
        failures = 0
        while True:
            try:
                async with await self.connect(LONG_LIVED) as connection:
                    for channel in self._channels:
                        await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                    failures = 0
                    # What was committed before the LISTEN was announced to nobody.
                    self._bell.kick()
                    async for _ in connection.notifies():
                        self._bell.kick()
            except ERRORS as error:
                if failures == 0:
                    logger.warning("LISTEN ended, connecting again: %s", error)
                delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                failures += 1
                await asyncio.sleep(delay)


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
                await asyncio.sleep(LEADERSHIP_CHECK_SECONDS)


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
        if append.payload is not None:
            said = append.payload
            row |= {"text": said.text, "instruction": said.instruction, "salt": said.salt}
    return orjson.dumps(events).decode()


async def _try_lock(connection: AsyncConnection, key: int) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(7721, %s::int)", (key - 2**31,))
    row = await cursor.fetchone()
    return bool(row and row[0])


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Repeat ``work`` while the connection fails, for a few seconds at most."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    failures = 0
    while True:
        try:
            return await work()
        except ERRORS as error:
            delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            failures += 1
            if asyncio.get_running_loop().time() + delay > deadline:
                raise Unavailable(f"PostgreSQL: {error}") from error
            await asyncio.sleep(delay)
