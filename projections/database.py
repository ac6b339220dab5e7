"""Which database the read models are in."""

from __future__ import annotations

from pathlib import Path

from projections import sqlite
from projections.ports import Database
from tts.config import file_of
from tts.ports.schema import Migrated


def open_database(store_url: str, direct: str = "") -> Database:
    """The read models that belong to an event store: a file beside SQLite's, or the same database.

    ``direct`` is the URL past a pooler, if there is one.

    >>> async with open_database("sqlite:///data/tts.db") as database: ...
    """
    if (file := file_of(store_url)) is not None:
        return sqlite.SQLiteDatabase(_beside(file))
    from projections.postgres import PostgresDatabase  # noqa: PLC0415 -- it brings psycopg along

    return PostgresDatabase(store_url, direct=direct)


async def migrate_database(store_url: str, direct: str, role: str) -> Migrated:
    """Make their tables what they have to be, and open them to the role of PostgreSQL, if given.

    Raises:
        Unfit, Unavailable
    """
    if (file := file_of(store_url)) is not None:
        return sqlite.migrate(_beside(file))
    from projections.postgres import migrate  # noqa: PLC0415 -- as above

    return await migrate(store_url, direct, role)


def _beside(file: Path) -> Path:
    return file.with_suffix(".read.db")
