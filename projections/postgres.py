"""Read models in PostgreSQL, in tables of their own beside the log."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from projections.ports import Row, Transaction, schema
from tts.ports.errors import Unavailable

PATIENCE_SECONDS = 5.0
CONNECTIONS = 4
SCHEMA_LOCK = 7721002
OPTIONS = (
    "-c synchronous_commit=off -c statement_timeout=30000 "
    "-c idle_in_transaction_session_timeout=10000"
)


class PostgresDatabase:
    """Implements Database with a small pool."""

    def __init__(self, url: str) -> None:
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=CONNECTIONS,
            open=False,
            timeout=PATIENCE_SECONDS,
            # One round trip more, so that nobody is handed a connection that a restart has cut.
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "options": OPTIONS,
                "connect_timeout": int(PATIENCE_SECONDS),
            },
        )

    async def open(self) -> None:
        """See :class:`projections.ports.Database`."""
        with _translated():
            await self._pool.open(wait=True, timeout=PATIENCE_SECONDS)
            async with self._pool.connection() as connection, connection.transaction():
                # CREATE … IF NOT EXISTS races with itself when two processes start at once.
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                await connection.execute(schema())

    async def aclose(self) -> None:
        """See :class:`projections.ports.Database`."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Database`."""
        with _translated():
            async with self._pool.connection() as connection:
                return await PostgresTransaction(connection).fetch(sql, params)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See :class:`projections.ports.Database`."""
        with _translated():
            async with self._pool.connection() as connection, connection.transaction():
                yield PostgresTransaction(connection)


class PostgresTransaction:
    """Implements Transaction on one connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Transaction`."""
        cursor = await self._connection.execute(_sql(sql), params)
        return await cursor.fetchall()

    async def execute(self, sql: str, params: Sequence[object] = ()) -> None:
        """See :class:`projections.ports.Transaction`."""
        await self._connection.execute(_sql(sql), params)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """See :class:`projections.ports.Transaction`."""
        async with self._connection.cursor() as cursor:
            await cursor.executemany(_sql(sql), rows)


def _sql(sql: str) -> str:
    return sql.replace("?", "%s")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError) as error:
        raise Unavailable(f"PostgreSQL: {error}") from error
