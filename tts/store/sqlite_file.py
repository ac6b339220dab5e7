"""How a SQLite file is opened, for the event store and for the read models."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tts.ports.errors import Unavailable, Unfit
from tts.ports.schema import Migrated, Schema

BUSY_SECONDS = 5.0  # a statement waits this long for another process's transaction
# 16 MB. Ids that stand for Idempotency-Keys lie anywhere in the index, so that each append touches
# pages of its own; with SQLite's 1,000 all of them were copied into the file every few commits.
WAL_PAGES = 4000
RETRY_SECONDS = 0.02
ROOM_BYTES = 2_000_000


def connect(path: Path, *, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """A connection in WAL mode and autocommit, to be used by one thread at a time.

    ``FULL`` makes each commit wait for the disk. Two processes that make a file at the same moment
    collide when they switch it to WAL, and SQLite does not wait there by itself.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
    )
    try:
        _switch_to_wal(connection)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        # What is deleted is overwritten, so that an erased text is not in the file any more.
        connection.execute("PRAGMA secure_delete=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def bring_up(connection: sqlite3.Connection, schema: Schema, path: Path) -> int:
    """Make the tables, or those of an older version what they are now; returns the version before.

    Nothing is written where they are as they should be.

    Raises:
        Unfit: they are newer.
    """
    before = _version(connection, schema, path)
    if before == schema.version:
        return before
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _version(connection, schema, path)
        if before < schema.version:
            for statement in _statements(schema.script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return before


def migrate(path: Path, schema: Schema) -> Migrated:
    """Make the file and its tables what they have to be.

    Raises:
        Unfit: they are newer.
        Unavailable: the file cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(connect(path, synchronous="FULL")) as connection:
            return schema.migrated(bring_up(connection, schema, path))
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"SQLite file {path}: {error}") from error


def look(path: Path, schema: Schema) -> int:
    """The version of the tables in a file that is whole; 0 where there is none yet.

    Raises:
        Unfit: it is newer, or damaged.
        Unavailable: the file cannot be used.
    """
    if not path.exists():
        return 0
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            version = _version(connection, schema, path)
            ((word, *_), *_) = connection.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as error:
        raise Unavailable(f"SQLite file {path}: {error}") from error
    if word != "ok":
        raise Unfit(f"SQLite file {path}: malformed: {word}")
    return version


def is_damaged(error: BaseException) -> bool:
    """Whether the error says that the file is no database, or a broken one."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def public_reason(error: BaseException) -> str:
    """The reason as anybody may read it; empty for one that is only for the log."""
    if is_damaged(error):
        return "the file is damaged: restore it from a backup"
    full = _code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC
    return "the disk is full: make room on it" if full else ""


def try_disk(path: Path) -> None:
    """Return if there is room for some more writing beside the file.

    A small write proves nothing: it may find its place in a file that is there.

    Raises:
        OSError: there is none.
    """
    with tempfile.TemporaryFile(dir=path.parent) as file:
        os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # without what SQLite adds to it


def _version(connection: sqlite3.Connection, schema: Schema, path: Path) -> int:
    """That of the tables; 0 where some are missing, or nothing says which version they have."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    schema.check(version, str(path))
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    return int(version) if tables.issuperset(schema.tables) else 0


def _statements(script: str) -> Iterator[str]:
    """One by one, since SQLite would end the transaction before a script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return
