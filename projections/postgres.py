"""Read models in PostgreSQL, in tables of their own beside the log."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Self

import orjson
from psycopg import AsyncConnection

from projections.ports import Row, Transaction
from projections.schema import SCHEMA
from projections.table import Table
from tts.ports.schema import Migrated
from tts.store.postgres_server import SETTINGS, PostgresServer

CONNECTIONS = 4
SNAPSHOT_SECONDS = 900.0
PATIENCE_SECONDS = 12.0  # a little more than the server's own bound of a statement


async def migrate(url: str, direct: str, role: str) -> Migrated:
    """See :func:`projections.database.migrate_database`."""
    return await PostgresServer(url, direct=direct, size=1).migrate(SCHEMA, role)


class PostgresDatabase:
    """Implements Database with a small pool."""

    def __init__(self, url: str, *, direct: str = "") -> None:
        self._server = PostgresServer(
            url,
            direct=direct,
            size=CONNECTIONS,
            settings={**SETTINGS, "synchronous_commit": "off"},
            patience=PATIENCE_SECONDS,
            check=True,
        )

    async def open(self) -> None:
        """See :class:`projections.ports.Database`."""
        await self._server.open(SCHEMA)

    async def aclose(self) -> None:
        """See :class:`projections.ports.Database`."""
        await self._server.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """See :class:`projections.ports.Database`."""
        async with self._server.session() as connection:
            return await PostgresTransaction(connection).fetch(sql, params)

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """See :class:`projections.ports.Database`."""
        async with self._server.session(SNAPSHOT_SECONDS) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            await connection.execute(f"SET LOCAL statement_timeout = '{SNAPSHOT_SECONDS:.0f}s'")
            yield PostgresTransaction(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See :class:`projections.ports.Database`."""
        async with self._server.session() as connection, connection.transaction():
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

    async def write(self, table: Table, place: int, rows: Collection[Mapping[str, Any]]) -> None:
        """See :class:`projections.ports.Transaction`; one statement, however many rows."""
        given = f"SELECT * FROM json_populate_recordset(NULL::{table.at(place)}, ?)"  # noqa: S608
        sql = table.writing(place, given)
        await self._connection.execute(_sql(sql), (orjson.dumps(list(rows)).decode(),))

    async def remove(
        self, table: Table, place: int, column: str, values: Collection[object]
    ) -> None:
        """See :class:`projections.ports.Transaction`."""
        sql = table.removal(place, column).replace("= ?", "= ANY (?)")
        await self._connection.execute(_sql(sql), (list(values),))

    async def clear(self, table: Table, place: int) -> None:
        """See :class:`projections.ports.Transaction`; the service may not be allowed to do more."""
        await self.execute(f"TRUNCATE {table.at(place)}")

    async def complete(self, table: Table, place: int) -> None:
        """See :class:`projections.ports.Transaction`."""


def _sql(sql: str) -> str:
    return sql.replace("?", "%s")
