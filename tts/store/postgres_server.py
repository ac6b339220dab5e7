"""How PostgreSQL is reached: connections that notice a dead peer, and a little patience."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tts.patience import Outage
from tts.ports.errors import Unavailable

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
OPTIONS = (
    _SERVER_KEEPALIVES + "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=10000"
)
LONG_LIVED = _SERVER_KEEPALIVES + "-c statement_timeout=0"
ERRORS = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError)
_WRONG_VALUE = re.compile(r"invalid \S+ value")  # in the URL's query, as libpq says it


class UnreadableUrl(ValueError):
    """The driver cannot make sense of the database's URL; the message quotes no part of it."""

    def __init__(self, error: psycopg.Error) -> None:
        # The driver quotes what it did not understand, which may be a piece of the password.
        reason = re.sub(r'"[^"]*"?', '"…"', str(error).strip())
        super().__init__(f"PostgreSQL cannot read it: {reason}")


@contextlib.contextmanager
def translated(moment: str = "") -> Iterator[None]:
    """Raise Unavailable for what the driver raises when the server is away."""
    try:
        yield
    except ERRORS as error:
        raise Unavailable(f"PostgreSQL{moment and ', '}{moment}: {error}") from error


class PostgresServer:
    """A pool of ``readers`` connections for single statements, and connections of one's own.

    Raises:
        UnreadableUrl
    """

    def __init__(self, url: str, *, readers: int) -> None:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise UnreadableUrl(error) from None
        self._url = url
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=readers,
            open=False,
            timeout=PATIENCE_SECONDS,
            kwargs={"autocommit": True, "options": OPTIONS, **_KEEPALIVES},
        )

    async def open(self, schema: str) -> None:
        """Make the tables if need be, and connect.

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
                await connection.execute("SELECT pg_advisory_xact_lock(7721000)")
                await connection.execute(schema)
            await self._pool.open(wait=True, timeout=PATIENCE_SECONDS)

    async def aclose(self) -> None:
        """Close the pool; whoever connected disconnects."""
        await self._pool.close()

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
            with translated():
                async with self._pool.connection() as connection:
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
