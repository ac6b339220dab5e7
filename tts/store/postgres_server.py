"""How PostgreSQL is reached: connections that notice a dead peer, and a little patience.

Three things bound a wait. The server ends a statement that takes too long; TCP gives up a peer that
acknowledges nothing; and as neither helps against a server that is frozen, against packets that a
middlebox swallows, or for a commit that waits for a standby, the client cuts a connection whose
answer does not come. One that was cut, or that met an error of the server, is not used again: the
next one may lead to another server.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL
from psycopg_pool import AsyncConnectionPool

from tts.patience import Outage
from tts.ports.errors import Unfit
from tts.ports.schema import Migrated, Schema
from tts.store.postgres_bounds import PATIENCE_SECONDS, bounded, hear_from
from tts.store.postgres_errors import translated
from tts.store.postgres_fitness import check_database, check_same, keeps_sessions
from tts.store.postgres_schema import bring_up, check_rights, grant, version_of
from tts.store.postgres_url import check_refusal, parameters, settings_of

# A peer whose machine vanished without a word is found out within seconds, on either side: else its
# session would keep the leadership for the system's two hours.
_KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
SETTINGS = {
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
LONG_LIVED = {**SETTINGS, "statement_timeout": "0"}
RESTED_SECONDS = 0.5  # a connection that answered a moment ago is not asked whether it is there
RECONNECT_SECONDS = 2.0  # the pool would double its pauses for minutes, and then sit one out
_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
_MIXING = (
    "it leads to a pooler that gives each transaction another session (pgbouncer with pool_mode = "
    "transaction), where LISTEN and the leader's lock do not work: set EVENT_STORE_DIRECT_URL to "
    "PostgreSQL itself for these, and all else goes through the pooler; or set pool_mode = session"
)
_MIXING_DIRECT = (
    "EVENT_STORE_DIRECT_URL leads to a pooler that gives each transaction another session, too: it "
    "has to be the address of PostgreSQL itself, or of a pooler with pool_mode = session"
)


class PostgresServer:
    """A pool of ``size`` connections, and connections of one's own.

    ``settings`` are those of its sessions. With a ``direct`` URL of the same database, the ``url``
    may lead through a pooler that gives its clients another session for each transaction. It gets
    no settings then, as they would stay with whoever has the session next.

    ``patience`` in seconds bounds a session of the pool. With ``check`` nobody is handed a
    connection that a restart has cut, for one round trip more where it has rested for a while.

    Raises:
        UnreadableUrl
    """

    def __init__(
        self,
        url: str,
        *,
        direct: str = "",
        size: int,
        settings: Mapping[str, str] = SETTINGS,
        patience: float = PATIENCE_SECONDS,
        check: bool = False,
    ) -> None:
        self._pooled = parameters(url)
        self._direct = parameters(direct) if direct else self._pooled
        self._mixed = bool(direct)
        self._settings = {**settings, **settings_of(self._pooled)}
        self._patience = patience
        self._used: WeakKeyDictionary[AsyncConnection, float] = WeakKeyDictionary()
        self._pool = AsyncConnectionPool(
            kwargs=_arguments(self._pooled, prepares=not self._mixed),
            configure=None if self._mixed else self._configure,
            min_size=1,
            max_size=size,
            open=False,
            timeout=PATIENCE_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            check=self._check if check else None,
        )

    async def open(self, schema: Schema) -> None:
        """Make the tables if need be, and connect.

        Raises:
            Unavailable: the server does not answer.
            Unfit: it does, and cannot be used as it is.
        """
        with translated():
            async with await self._connect_first() as connection:
                await bring_up(connection, schema)
                if self._mixed:
                    await self._check_pooler(connection)
            async with await self.connect() as connection, bounded(connection):
                await check_rights(connection, schema)
            await self._pool.open()  # without waiting, after which it could not be opened again

    async def look(self, schema: Schema) -> tuple[int, float]:
        """The version of the tables, 0 for none; and how many seconds its clock is ahead of ours.

        Raises:
            Unavailable, Unfit: as :meth:`open`.
        """
        with translated():
            async with await self._connect_first() as connection, bounded(connection):
                version = await version_of(connection, schema)
                before = time.time()
                cursor = await connection.execute(_CLOCK, prepare=False)
                ((now,),) = await cursor.fetchall()
                return version, float(now) - (before + time.time()) / 2

    async def migrate(self, schema: Schema, role: str) -> Migrated:
        """Make the tables what they have to be, and open them to the role, if one is named.

        Raises:
            Unavailable, Unfit: as :meth:`open`.
        """
        with translated():
            async with await self._connect_first() as connection:
                before = await bring_up(connection, schema)
                if role:
                    await grant(connection, schema, role)
        return schema.migrated(before)

    async def _connect_first(self) -> AsyncConnection:
        """A connection to a database that is known to be usable, for as long as it takes."""
        connect = partial(self._connect, self._direct)
        connection = await connect()
        try:
            async with bounded(connection):
                await check_database(connection, settings_of(self._direct).get("search_path"))
                kept = await keeps_sessions(connection, connect)
        except BaseException:
            await connection.close()
            raise
        if not kept:
            await connection.close()
            raise Unfit(_MIXING_DIRECT if self._mixed else _MIXING)
        return await self._configured(connection, LONG_LIVED)

    async def _check_pooler(self, direct: AsyncConnection) -> None:
        async with await self.connect() as pooled, bounded(pooled), bounded(direct):
            await check_database(pooled, settings_of(self._pooled).get("search_path"))
            await check_same(direct, pooled)

    async def _check(self, connection: AsyncConnection) -> None:
        if time.monotonic() - self._used.get(connection, -math.inf) > RESTED_SECONDS:
            await hear_from(connection)

    async def aclose(self) -> None:
        """Close the pool; whoever connected disconnects."""
        await self._pool.close()

    async def connect(self) -> AsyncConnection:
        """A connection of one's own, in autocommit; one that vanishes is found out in seconds.

        Raises:
            psycopg.Error, OSError: to be :func:`translated`.
        """
        connection = await self._connect(self._pooled, prepares=not self._mixed)
        return connection if self._mixed else await self._configured(connection, self._settings)

    async def connect_directly(self) -> AsyncConnection:
        """A session of one's own, for LISTEN and for locks.

        Raises:
            psycopg.Error, OSError: to be :func:`translated`.
        """
        return await self._configured(await self._connect(self._direct), LONG_LIVED)

    async def _connect(self, where: Mapping[str, str], *, prepares: bool = True) -> AsyncConnection:
        try:
            return await AsyncConnection.connect(**_arguments(where, prepares=prepares))
        except psycopg.Error as error:
            check_refusal(error)
            raise

    async def _configured(
        self, connection: AsyncConnection, settings: Mapping[str, str]
    ) -> AsyncConnection:
        try:
            async with bounded(connection):
                await _set(connection, settings)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _configure(self, connection: AsyncConnection) -> None:
        async with bounded(connection):
            await _set(connection, self._settings)

    @contextlib.asynccontextmanager
    async def session(self, patience: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool while the block lasts, for another ``patience`` if given.

        Raises:
            Unavailable: the server cannot be used, or did not answer in time.
        """
        with translated():
            async with (
                self._pool.connection() as connection,
                bounded(connection, patience or self._patience),
            ):
                yield connection
                self._used[connection] = time.monotonic()

    async def query(self, sql: str, params: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """The rows that a statement returns, in a transaction of its own.

        Raises:
            Unavailable: the server did not answer in time.
        """

        async def run() -> list[tuple[Any, ...]]:
            async with self.session() as connection:
                cursor = await connection.execute(sql, params, prepare=True, binary=True)
                return await cursor.fetchall()

        return await Outage().wait_out(run, at_most=PATIENCE_SECONDS)


def _arguments(where: Mapping[str, str], *, prepares: bool) -> dict[str, Any]:
    """For the driver; without ``prepares`` no statement is prepared, whoever asks for it."""
    return {
        **_KEEPALIVES,
        "connect_timeout": int(PATIENCE_SECONDS),
        **where,
        "autocommit": True,
        **({} if prepares else {"prepare_threshold": None}),
    }


async def _set(connection: AsyncConnection, settings: Mapping[str, str]) -> None:
    """Not at the start of the session, where a pooler would refuse them."""
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    pairs = [each for setting in settings.items() for each in setting]
    await connection.execute(SQL("SELECT {}").format(SQL(calls)), pairs, prepare=False)
