"""Whether a PostgreSQL database is one that the service can use, and what to do if it is not."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection

from tts.ports.errors import Unavailable, Unfit
from tts.store.postgres_bounds import bounded

Connect = Callable[[], Awaitable[AsyncConnection]]

ROUNDS = 12  # a busy pooler may hand out sessions that seem to be kept, but not so often
_STATEMENT_MODE = "statement pooling"  # as pgbouncer calls it
_STATE = (
    "SELECT current_setting('server_encoding'), current_setting('transaction_read_only'), "
    "current_schema(), current_setting('search_path'), current_user"
)
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s), current_schema()"


async def check_database(connection: AsyncConnection, search_path: str | None) -> None:
    """Return if the database holds every text, and makes tables where the URL says.

    Raises:
        Unfit
        Unavailable: it takes no writes now.
    """
    encoding, read_only, schema, path, role = await _row(connection, _STATE)
    if encoding != "UTF8":
        raise Unfit(
            f"the database has the encoding {encoding}, which cannot hold every text; make one "
            "with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if search_path is not None and _names(search_path) != _names(path):
        raise Unfit(
            "the pooler behind it drops ?options=…, so search_path is not what they say; set it "
            "for the role instead: ALTER ROLE … IN DATABASE … SET search_path = …"
        )
    if schema is None:
        raise Unfit(
            f"no schema of the search_path {path} is there and open to the role {role}: make it "
            f"with CREATE SCHEMA … AUTHORIZATION {role}, or name another one"
        )
    if read_only == "on":
        raise Unavailable("PostgreSQL: it only takes reads now")


def _names(search_path: str) -> list[str]:
    return [name.strip().strip('"') for name in search_path.split(",")]


async def keeps_sessions(one: AsyncConnection, connect: Connect) -> bool:
    """Whether each client has a session for itself, as it has unless a pooler mixes them.

    Two that are connected at once never have the same session of the server, nor does one's change.
    A pooler with time gives out the session that came back last: to two in turn it is the same. One
    without has to give what is there, most of all while a transaction holds another.
    """
    first = await _pid(one)
    if first == one.info.backend_pid:
        return True  # no pooler stands in between
    try:
        async with await connect() as other, bounded(other):
            for _ in range(ROUNDS):
                if await _pid(other) == first or await _pid(one) != first:
                    return False
                async with other.transaction():
                    if await _pid(other) == first or await _pid(one) != first:
                        return False
    except psycopg.Error as error:
        if _STATEMENT_MODE in str(error):
            return False
        raise
    return True


async def check_same(direct: AsyncConnection, pooled: AsyncConnection) -> None:
    """Return if both lead to one schema of one database: a lock of the one is in the other's way.

    Raises:
        Unfit
    """
    number = secrets.randbits(62)
    await direct.execute("SELECT pg_advisory_lock(%s)", (number,))
    try:
        async with pooled.transaction():
            free, schema = await _row(pooled, _TRY_LOCK, number)
    except psycopg.Error as error:
        if _STATEMENT_MODE not in str(error):
            raise
        raise Unfit(
            "it leads to a pooler without transactions: set pool_mode = transaction"
        ) from error
    await direct.execute("SELECT pg_advisory_unlock(%s)", (number,))
    (own,) = await _row(direct, "SELECT current_schema()")
    if free or own != schema:
        other = f"the schema {own} there, and {schema} here" if not free else "another database"
        raise Unfit(f"EVENT_STORE_DIRECT_URL leads to {other}: both URLs need the same one")


async def _pid(connection: AsyncConnection) -> int:
    (pid,) = await _row(connection, "SELECT pg_backend_pid()")
    return int(pid)


async def _row(
    connection: AsyncConnection, query: LiteralString, *params: object
) -> tuple[Any, ...]:
    cursor = await connection.execute(query, params, prepare=False)
    return (await cursor.fetchall())[0]
