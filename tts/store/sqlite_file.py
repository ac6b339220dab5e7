"""How a SQLite file is opened, for the event store and for the read models."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Literal

BUSY_SECONDS = 5.0  # a statement waits this long for another process's transaction
RETRY_SECONDS = 0.02


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
        # What is deleted is overwritten, so that an erased text is not in the file any more.
        connection.execute("PRAGMA secure_delete=ON")
    except BaseException:
        connection.close()
        raise
    return connection


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
