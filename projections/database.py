"""Which database the read models are in."""

from __future__ import annotations

from pathlib import Path

from projections import sqlite
from projections.ports import Database
from tts.ports.schema import Migrated


def open_database(store_url: str, direct: str = "") -> Database:
    """The read models that belong to an event store: a file beside SQLite's, or the same database.

    ``direct`` is the URL past a pooler, if there is one.

    >>> async with open_database("sqlite:///data/tts.db") as database: ...
    """
    if store_url.startswith("sqlite:"):
        return sqlite.SQLiteDatabase(_path(store_url))
    from projections.postgres import PostgresDatabase  # noqa: PLC0415 -- it brings psycopg along

    return PostgresDatabase(store_url, direct=direct)


async def migrate_database(store_url: str, direct: str, role: str) -> Migrated:
    """Make their tables what they have to be, and open them to the role of PostgreSQL, if given.

    Raises:
        Unfit, Unavailable
    """
    if store_url.startswith("sqlite:"):
        return sqlite.migrate(_path(store_url))
    from projections.postgres import migrate  # noqa: PLC0415 -- as above

    return await migrate(store_url, direct, role)


def _path(store_url: str) -> Path:
    return Path(store_url.removeprefix("sqlite:///")).with_suffix(".read.db")
