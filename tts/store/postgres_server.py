"""How PostgreSQL is reached: connections that notice a dead peer, and a little patience.

Three things bound a wait. The server ends a statement that takes too long; TCP gives up a peer that
acknowledges nothing; and as neither helps against a server that is frozen, against packets that a
middlebox swallows, or for a commit that waits for a standby, the client cuts a connection whose
answer does not come. One that was cut, or that met an error of the server, is not used again: the
next one may lead to another server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import AsyncConnection, Notify
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from tts.patience import Outage
from tts.ports.errors import Unavailable
from tts.store.postgres_errors import is_away, translated

PATIENCE_SECONDS = 5.0  # an append or a read waits this long for the server before it gives up
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
OPTIONS = "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=10000"
LONG_LIVED = "-c statement_timeout=0"
RECONNECT_SECONDS = 2.0  # the pool would double its pauses for minutes, and then sit one out
_WRONG_VALUE = re.compile(r"invalid \S+ value")  # in the URL's query, as libpq says it


class UnreadableUrl(ValueError):
    """The driver cannot make sense of the database's URL; the message quotes no part of it."""

    def __init__(self, error: psycopg.Error) -> None:
        # The driver quotes what it did not understand, which may be a piece of the password.
        reason = re.sub(r'"[^"]*"?', '"…"', str(error).strip())
        super().__init__(f"PostgreSQL cannot read it: {reason}")


@contextlib.asynccontextmanager
async def bounded(
    connection: AsyncConnection, seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[None]:
    """Cut the connection if the block lasts longer, and close it after an error of the server's.

    Raises:
        Unavailable: the answer did not come in time; what was asked for may or may not be done.
        psycopg.Error
    """
    late = False

    def cut() -> None:
        nonlocal late
        late = True
        # The driver sees an end of the stream at once. Canceling it instead would have it ask the
        # server, which does not answer, to cancel the statement.
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as end,
        ):
            end.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(seconds, cut)
    try:
        yield
    except (psycopg.Error, OSError) as error:
        if late:
            raise Unavailable(f"PostgreSQL: no answer within {seconds:g} s") from error
        if is_away(error):
            await connection.close()
        raise
    finally:
        timer.cancel()


async def notices(connection: AsyncConnection) -> AsyncIterator[Notify]:
    """What the connection is notified of, for ever; a silence is looked into.

    Raises:
        Unavailable, psycopg.Error: the connection is gone.
    """
    while True:
        async for notice in connection.notifies(timeout=PATIENCE_SECONDS):
            yield notice
        await _hear_from(connection)


async def _hear_from(connection: AsyncConnection) -> None:
    async with bounded(connection):
        await connection.execute("SELECT 1")


class PostgresServer:
    """A pool of ``size`` connections, and connections of one's own.

    ``patience`` in seconds bounds a session of the pool. With ``check`` nobody is handed a
    connection that a restart has cut, for one round trip more.

    Raises:
        UnreadableUrl
    """

    def __init__(
        self,
        url: str,
        *,
        size: int,
        options: str = OPTIONS,
        patience: float = PATIENCE_SECONDS,
        check: bool = False,
    ) -> None:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise UnreadableUrl(error) from None
        self._url = url
        self._patience = patience
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size,
            open=False,
            timeout=PATIENCE_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            check=_hear_from if check else None,
            kwargs={
                "autocommit": True,
                "options": _SERVER_KEEPALIVES + options,
                "connect_timeout": int(PATIENCE_SECONDS),
                **_KEEPALIVES,
            },
        )

    async def open(self, schema: str, lock: int) -> None:
        """Make the tables if need be, under an advisory lock of that number, and connect.

        Raises:
            Unavailable: the server does not answer.
            UnreadableUrl
        """
        with translated():
            try:
                connection = await self.connect()
            except psycopg.Error as error:
                away = isinstance(error, psycopg.OperationalError)
                if away and not _WRONG_VALUE.search(str(error)):
                    raise
                raise UnreadableUrl(error) from None
            async with connection, connection.transaction():
                # CREATE … IF NOT EXISTS races with itself when two processes start at once.
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
                await connection.execute(schema)
            await self._pool.open()  # without waiting, after which it could not be opened again

    async def aclose(self) -> None:
        """Close the pool; whoever connected disconnects."""
        await self._pool.close()

    async def connect(self, options: str = OPTIONS) -> AsyncConnection:
        """A connection of one's own, in autocommit; one that vanishes is found out in seconds.

        Raises:
            psycopg.Error, OSError: to be :func:`translated`.
        """
        return await AsyncConnection.connect(
            self._url,
            autocommit=True,
            options=_SERVER_KEEPALIVES + options,
            connect_timeout=int(PATIENCE_SECONDS),
            **_KEEPALIVES,
        )

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool while the block lasts.

        Raises:
            Unavailable: the server cannot be used, or did not answer in time.
        """
        with translated():
            async with (
                self._pool.connection() as connection,
                bounded(connection, self._patience),
            ):
                yield connection

    async def query(self, sql: str, params: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """The rows that a statement returns, in a transaction of its own.

        Raises:
            Unavailable: the server did not answer in time.
        """

        async def run() -> list[tuple[Any, ...]]:
            async with self.session() as connection:
                cursor = await connection.execute(sql, params, prepare=True, binary=True)
                return await cursor.fetchall()

        # psycopg waits with asyncio.wait_for, which in Python 3.11 forgets a cancellation that
        # meets the answer: whoever canceled us would wait for ever.
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        rows = await Outage().wait_out(run, at_most=PATIENCE_SECONDS)
        if task and task.cancelling() > cancellations:
            raise asyncio.CancelledError
        return rows
