"""Epochs of a log in a SQLite file, which goes back when an older copy of it is restored."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from uuid import UUID, uuid4

from tts.ports.epochs import LEAP, Epoch, Epochs, WentBack

_ALL = "SELECT number, id, survived, first, began FROM log_epochs ORDER BY number"
_PRESENT = "SELECT number, first FROM log_epochs ORDER BY number DESC LIMIT 1"
_NEWEST = "SELECT coalesce(max(rowid), 0) FROM stored_events"
_INSERT = "INSERT INTO log_epochs VALUES (?, ?, ?, ?, ?)"


def epochs(reader: sqlite3.Connection) -> Epochs:
    """All of them."""
    return Epochs(
        [
            Epoch(number, UUID(hex=id_), survived, first, datetime.fromisoformat(began))
            for number, id_, survived, first, began in reader.execute(_ALL)
        ]
    )


def number(reader: sqlite3.Connection) -> int:
    """That of the present one, -1 before the first."""
    row = reader.execute(_PRESENT).fetchone()
    return int(row[0]) if row else -1


def last_given(reader: sqlite3.Connection) -> int:
    """The position behind which the next event stands."""
    row = reader.execute(_PRESENT).fetchone()
    first = int(row[1]) if row else 0
    return max(_newest(reader), first - 1)


def begin(writer: sqlite3.Connection, seen: int) -> None:
    """Begin a new epoch if somebody has seen a position that the log does not reach.

    In a transaction.
    """
    newest, now = _newest(writer), datetime.now(UTC)
    present = number(writer)
    survived = first = 0
    if present >= 0:
        if seen <= newest or _is_gone(writer, seen):
            return
        survived = newest
        first = max(max(seen, newest) + LEAP, int(now.timestamp() * 1_000_000))
    writer.execute(_INSERT, (present + 1, uuid4().hex, survived, first, now.isoformat()))


def _newest(reader: sqlite3.Connection) -> int:
    return int(reader.execute(_NEWEST).fetchone()[0])


def _is_gone(reader: sqlite3.Connection, position: int) -> bool:
    try:
        epochs(reader).check(position)
    except WentBack:
        return True
    return False
