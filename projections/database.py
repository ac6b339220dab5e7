"""Which database the read models are in."""

from __future__ import annotations

from pathlib import Path

from projections.ports import Database
from projections.postgres import PostgresDatabase
from projections.sqlite import SQLiteDatabase


def open_database(store_url: str) -> Database:
    """The read models that belong to an event store: a file beside SQLite's, or the same database.

    >>> async with open_database("sqlite:///data/tts.db") as database: ...
    """
    if store_url.startswith("sqlite:"):
        store = Path(store_url.removeprefix("sqlite:///"))
        return SQLiteDatabase(store.with_suffix(".read.db"))
    return PostgresDatabase(store_url)
