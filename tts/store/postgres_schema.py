"""Tables in PostgreSQL: made, brought up to date, and opened to a role that may not make any."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier

from tts.ports.errors import Unfit
from tts.ports.schema import Schema

LOCK = 7721000  # one for all parts: CREATE … IF NOT EXISTS races with itself
VERSIONS = "schema_versions"
DRAW = "USAGE, UPDATE"  # numbers from a sequence, and to have it leap

_MAKE_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_versions (
    part text PRIMARY KEY,
    version bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
)"""
# Where tables would be made: those of another service may stand in a schema further on.
_MISSING = (
    "SELECT count(*) FROM unnest(%s::text[]) AS name "
    "WHERE to_regclass(format('%%I.%%I', current_schema(), name)) IS NULL"
)
_VERSION = "SELECT version FROM schema_versions WHERE part = %s"
_SET_VERSION = (
    "INSERT INTO schema_versions AS v VALUES (%s, %s) "
    "ON CONFLICT (part) DO UPDATE SET version = excluded.version, since = excluded.since"
)
_REFUSED = (
    "SELECT DISTINCT name FROM unnest(%s::text[], %s::text[]) AS needed (name, privilege), "
    "LATERAL (SELECT oid, relkind FROM pg_class "
    "WHERE oid = to_regclass(format('%%I.%%I', current_schema(), name))) AS relation "
    "WHERE NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, privilege) "
    "ELSE has_table_privilege(oid, privilege) END"
)
_SEQUENCES = (
    "SELECT relname FROM unnest(%s::text[]) AS name, pg_depend d, pg_class c "
    "WHERE d.refobjid = to_regclass(format('%%I.%%I', current_schema(), name)) AND d.deptype = 'a' "
    "AND c.oid = d.objid AND c.relkind = 'S'"
)


async def bring_up(connection: AsyncConnection, schema: Schema) -> int:
    """Make the tables, or those of an older version what they are now; returns the version before.

    Nothing is written where they are as they should be.

    Raises:
        Unfit: they are newer, or somebody else has to make them.
    """
    try:
        before = await version_of(connection, schema)
    except psycopg.errors.InsufficientPrivilege:
        await check_rights(connection, schema)
        raise
    if before == schema.version:
        return before
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            before = await version_of(connection, schema)
            if before < schema.version:
                await connection.execute(schema.script.encode())
                await connection.execute(_MAKE_VERSIONS)
                await connection.execute(_SET_VERSION, (schema.part, schema.version))
    except psycopg.errors.InsufficientPrivilege as error:
        role, place = await _here(connection)
        raise Unfit(
            f"the role {role} may not make or change tables in the schema {place} "
            f"({error.diag.message_primary}); run `tts migrate --grant {role}` once with the "
            "EVENT_STORE_URL of a role that may, or let it do so by itself: "
            f"GRANT USAGE, CREATE ON SCHEMA {place} TO {role}"
        ) from error
    return before


async def check_rights(connection: AsyncConnection, schema: Schema) -> None:
    """Return if the role may do with the tables what the service does.

    Raises:
        Unfit: it names the GRANT.
    """
    needed = await _rights(connection, schema)
    pairs = [(name, right) for name, rights in needed.items() for right in rights.split(", ")]
    refused = await _all(connection, _REFUSED, *map(list, zip(*pairs, strict=True)))
    if refused:
        role, place = await _here(connection)
        names = ", ".join(sorted(name for (name,) in refused))
        grants = [statement.as_string(connection) for statement in _grants(needed, place, role)]
        raise Unfit(
            f"the role {role} may not do what the service does with {names}; run "
            f"`tts migrate --grant {role}` once with the EVENT_STORE_URL of their owner, or as "
            f"their owner: {'; '.join(grants)}"
        )


async def grant(connection: AsyncConnection, schema: Schema, role: str) -> None:
    """Let the role do with the tables what the service does.

    Raises:
        Unfit: there is no such role, or the tables are not ours.
    """
    _, place = await _here(connection)
    try:
        async with connection.transaction():
            for statement in _grants(await _rights(connection, schema), place, role):
                await connection.execute(statement)
    except (psycopg.errors.UndefinedObject, psycopg.errors.InsufficientPrivilege) as error:
        raise Unfit(f"nothing can be granted to {role}: {error.diag.message_primary}") from error


async def version_of(connection: AsyncConnection, schema: Schema) -> int:
    """That of the tables; 0 where some are missing, or nothing says which version they have."""
    ((missing,),) = await _all(connection, _MISSING, [VERSIONS, *schema.tables])
    if missing:
        return 0
    rows = await _all(connection, _VERSION, schema.part)
    version = int(rows[0][0]) if rows else 0
    schema.check(version, "the database")
    return version


async def _rights(connection: AsyncConnection, schema: Schema) -> dict[str, str]:
    """What is needed of each table, and of the sequence that a table draws its numbers from."""
    sequences = await _all(connection, _SEQUENCES, list(schema.tables))
    return {VERSIONS: "SELECT", **schema.tables, **{name: DRAW for (name,) in sequences}}


def _grants(rights: dict[str, str], place: str, role: str) -> list[Composed]:
    to = Identifier(role)
    return [SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(place), to)] + [
        SQL("GRANT {} ON {} TO {}").format(
            SQL(right),
            SQL("SEQUENCE {}" if right == DRAW else "{}").format(Identifier(place, name)),
            to,
        )
        for name, right in rights.items()
    ]


async def _here(connection: AsyncConnection) -> tuple[str, str]:
    ((role, place),) = await _all(connection, "SELECT current_user, current_schema()")
    return role, place


async def _all(
    connection: AsyncConnection, query: LiteralString, *params: object
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query, params, prepare=False)
    return await cursor.fetchall()
