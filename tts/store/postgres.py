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
from psycopg import AsyncConnection, Notify

from tts.patience import Outage
from tts.ports.epochs import Epoch, Epochs, WentBack
from tts.ports.log import SECRET_BYTES, ArchivedTask, LogSecret, Payload, Recorded
from tts.ports.schema import Schema
from tts.store.group_commit import Append, GroupCommit, ObserveCommit, nobody
from tts.store.losses import Losses, ObserveLoss
from tts.store.postgres_archive import PostgresArchive
from tts.store.postgres_bounds import PATIENCE_SECONDS, bounded
from tts.store.postgres_clock import ObserveSkew, ServerClock
from tts.store.postgres_errors import translated
from tts.store.postgres_leadership import SessionLeadership, session_leadership
from tts.store.postgres_listening import Listener, Listening
from tts.store.postgres_server import PostgresServer
from tts.store.tailer import Bell, Stretch, follow

SCHEMA = Schema(
    part="log",
    version=3,
    script=files(__package__).joinpath("postgres.sql").read_text(),
    tables={
        "stored_events": "SELECT, INSERT",
        "payloads": "SELECT, INSERT, DELETE",
        "checkpoints": "SELECT, INSERT, UPDATE",
        "shared_documents": "SELECT, INSERT, UPDATE",
        "roster": "SELECT, INSERT, UPDATE, DELETE",
        "roster_last": "SELECT, INSERT, UPDATE",
        "secrets": "SELECT, INSERT",
        "log_epochs": "SELECT, INSERT",
        "callbacks": "SELECT, INSERT, UPDATE, DELETE",
        "archives": "SELECT",
        "archived_tasks": "SELECT, UPDATE",
    },
)

_APPEND = "SELECT last_position FROM tts_append(%s::json)"
_COLUMNS = "notification_id, originator_id, originator_version, topic, state"
# Whoever reads the log hears of a new epoch at once, also when nothing has been appended yet.
_READ = (
    "SELECT epoch, newest, archived, e.* FROM tts_epoch() AS epoch CROSS JOIN ("  # noqa: S608
    "SELECT coalesce(max(notification_id), 0) AS newest FROM stored_events"
    ") n CROSS JOIN (SELECT coalesce(max(position), 0) AS archived FROM archives"
    f") a LEFT JOIN LATERAL (SELECT {_COLUMNS} "
    "FROM stored_events WHERE notification_id > %s {selection} "
    "ORDER BY notification_id LIMIT %s) e ON true ORDER BY notification_id"
)
_READ_ALL = _READ.format(selection="")
_READ_TOPICS = _READ.format(selection="AND topic = ANY (%s)")
_POSITION = (
    "SELECT tts_epoch(%s), coalesce(max(notification_id), 0), "
    "(SELECT coalesce(max(position), 0) FROM archives) FROM stored_events"
)
_ARCHIVED = (
    "SELECT task_id, owner, version, position, archive, facts FROM archived_tasks "
    "WHERE task_id = ANY (%s)"
)
_AMEND = "UPDATE archived_tasks SET facts = %s WHERE task_id = %s RETURNING 1"
_EPOCHS = "SELECT number, id, survived, first, began FROM log_epochs ORDER BY number"
_EVENTS = (
    f"SELECT {_COLUMNS} FROM stored_events "  # noqa: S608 -- made of the names above
    "WHERE originator_id = %s ORDER BY originator_version"
)
_WHOLE = (
    f"SELECT p.task_id, p.text, p.instruction, p.salt, {_COLUMNS} FROM stored_events "  # noqa: S608
    "LEFT JOIN payloads AS p ON originator_version = 1 AND p.task_id = originator_id "
    "WHERE originator_id = %s ORDER BY originator_version"
)
_PAYLOAD = "SELECT text, instruction, salt FROM payloads WHERE task_id = %s"
# By bytes, as SQLite does: languages have their own ideas of the case of other letters.
_CONTAINING = (
    "SELECT task_id FROM payloads WHERE task_id = ANY (%s) AND "
    """position(lower(%s::text COLLATE "C") IN lower(text COLLATE "C")) > 0"""
)
_KEY = "SELECT key, position FROM secrets WHERE name = 'tasks'"
_INSERT_KEY = (
    "INSERT INTO secrets SELECT 'tasks', %s, coalesce(max(notification_id), 0) FROM stored_events "
    "ON CONFLICT DO NOTHING RETURNING 1"
)
_NEWS = "SELECT tts_news(%s)"
_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"
_CHECKPOINT = "SELECT position FROM checkpoints WHERE name = %s"
_SAVE_CHECKPOINT = "SELECT tts_save_checkpoint(%s, %s, %s)"


# Who follows more is told of everything, and picks: else it would read the log for each event.
FEW_TOPICS = 2


class PostgresStore:
    """Implements EventStore, Log and Coordination of :mod:`tts.ports` on one database."""

    def __init__(
        self,
        url: str,
        *,
        direct: str = "",
        readers: int = 4,
        observe_loss: ObserveLoss = lambda _: None,
        observe_commit: ObserveCommit = nobody,
        observe_skew: ObserveSkew = lambda _: None,
    ) -> None:
        self.server = PostgresServer(url, direct=direct, size=readers)
        self._losses = Losses(observe_loss)
        self._archived_to = 0
        self.archive = PostgresArchive(self.server)
        self._writer: AsyncConnection | None = None
        self._group = GroupCommit(self._commit, observe_commit)
        self._bell = Bell()
        self.clock = ServerClock(observe_skew)
        self._clock: asyncio.Task[None] | None = None
        self.listening = Listening(self.server)
        self._channels: frozenset[str] = frozenset()  # those that ring the bell
        self._news = ""  # the channel that tells of every append

    async def open(self) -> None:
        """Make the tables if need be, and connect."""
        await self.server.open(SCHEMA)
        await self.position()
        secret = await self.secret()  # so that it is as old as the log
        ((self._news,),) = await self.server.query(_NEWS, (secret.key,))
        await self.clock.look(self._time)
        if self._clock is None:
            self._clock = asyncio.create_task(self.clock.keep(self._time))

    async def aclose(self) -> None:
        """Settle what was asked for and disconnect."""
        await self._group.flush()
        await self.listening.aclose()
        if self._clock is not None:
            self._clock.cancel()
            await asyncio.wait([self._clock])
        if self._writer is not None:
            await self._writer.close()
        await self.server.aclose()

    @property
    def epochs(self) -> Epochs:
        """See :class:`tts.ports.log.Log`."""
        return self._losses.epochs

    @property
    def archived_to(self) -> int:
        """See :class:`tts.ports.log.Log`."""
        return self._archived_to

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

    async def archived(self, task_ids: Sequence[UUID]) -> list[ArchivedTask]:
        """See :class:`tts.ports.log.EventStore`."""
        rows = await self.server.query(_ARCHIVED, (list(task_ids),))
        return [ArchivedTask(*row) for row in rows]

    async def amend(self, task: ArchivedTask) -> None:
        """See :class:`tts.ports.log.EventStore`."""
        await self.server.query(_AMEND, (task.facts, task.task_id))

    async def payload(self, task_id: UUID) -> Payload | None:
        """See :class:`tts.ports.log.EventStore`."""
        rows = await self.server.query(_PAYLOAD, (task_id,))
        return Payload(*rows[0]) if rows else None

    async def whole(self, task_id: UUID) -> tuple[list[Recorded], Payload | None]:
        """See :class:`tts.ports.log.EventStore`."""
        rows = await self.server.query(_WHOLE, (task_id,))
        said = Payload(*rows[0][1:4]) if rows and rows[0][0] is not None else None
        return [Recorded(*row[4:]) for row in rows], said

    async def containing(self, text: str, task_ids: Sequence[UUID]) -> set[UUID]:
        """See :class:`tts.ports.log.EventStore`."""
        rows = await self.server.query(_CONTAINING, (list(task_ids), text))
        return {task_id for (task_id,) in rows}

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
        return (await self._stretch(after, limit, topics)).events

    async def _stretch(self, after: int, limit: int, topics: Collection[str]) -> Stretch:
        if topics:
            rows = await self.server.query(_READ_TOPICS, (after, list(topics), limit))
        else:
            rows = await self.server.query(_READ_ALL, (after, limit))
        epoch, newest, self._archived_to, *_ = rows[0]
        await self._notice(epoch)
        self._losses.check(after)
        events = [Recorded(*row[3:]) for row in rows if row[3] is not None]
        return Stretch.of(events, limit, newest)

    async def position(self, seen: int = 0) -> int:
        """See :class:`tts.ports.log.Log`."""
        ((epoch, position, self._archived_to),) = await self.server.query(_POSITION, (seen,))
        await self._notice(epoch)
        return int(position)

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """See :class:`tts.ports.log.Log`."""
        self._listen_to(topics if 0 < len(topics) <= FEW_TOPICS else (self._news,))
        return follow(self._stretch, self.position, self._bell, after, batch, topics)

    # --- Coordination

    def leadership(self, name: str) -> AbstractAsyncContextManager[SessionLeadership]:
        """See :class:`tts.ports.coordination.Coordination`."""
        return session_leadership(self.server, name)

    async def checkpoint(self, name: str) -> int:
        """See :class:`tts.ports.coordination.Coordination`."""
        rows = await self.server.query(_CHECKPOINT, (name,))
        return int(rows[0][0]) if rows else 0

    async def save_checkpoint(self, name: str, position: int, seen: int | None = None) -> None:
        """See :class:`tts.ports.coordination.Coordination`."""
        seen = position if seen is None else seen
        ((survived,),) = await self.server.query(_SAVE_CHECKPOINT, (name, position, seen))
        if survived is not None:
            await self.position()  # learns of it, too
            self._losses.check(seen)
            raise WentBack(survived=survived, seen=seen)

    # --- inside

    async def _time(self) -> float:
        ((seconds,),) = await self.server.query(_TIME, ())
        return float(seconds)

    async def _notice(self, epoch: int) -> None:
        """Learn of the epochs up to that number."""
        if self.epochs.newest is None or self.epochs.newest.number != epoch:
            rows = await self.server.query(_EPOCHS, ())
            self._losses.epochs = Epochs([Epoch(*row) for row in rows])

    async def _commit(self, batch: list[Append]) -> list[int | None]:
        try:
            return await Outage().wait_out(partial(self._write, batch), at_most=PATIENCE_SECONDS)
        except psycopg.errors.UniqueViolation:
            # Somebody who does not take our lock, such as a plain eventsourcing application.
            if len(batch) > 1:
                raise
            return [None]

    async def _write(self, batch: list[Append]) -> list[int | None]:
        with translated():
            if self._writer is None or self._writer.closed:
                self._writer = await self.server.connect()
            async with bounded(self._writer):
                cursor = await self._writer.execute(
                    _APPEND, (_as_json(batch),), prepare=True, binary=True
                )
                return [row[0] for row in await cursor.fetchall()]

    def _listen_to(self, channels: Collection[str]) -> None:
        new = frozenset(channels) - self._channels
        if new:
            self._channels |= new
            self.listening.add(Listener(new, self._hear, self._bell.kick))

    def _hear(self, notice: Notify) -> None:
        if notice.channel == self._news and notice.payload:
            epoch, before, events = _told(notice.payload)
            known = self.epochs.newest
            if events and known is not None and known.number == epoch:
                self._bell.tell(before, events)
                return
        self._bell.kick(notice.channel)


def _told(payload: str) -> tuple[int, int, list[Recorded]]:
    """The epoch, the position before, and the events that a notice tells, see ``tts_append``."""
    epoch, before, rows = orjson.loads(payload)
    events = [
        Recorded(position, UUID(task_id), version, topic, state.encode())
        for position, task_id, version, topic, state in rows
    ]
    return epoch, before, events


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
