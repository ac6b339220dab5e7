"""The roster in the store's SQLite file, over a connection of its own.

That one does not wait for the disk: who was here a moment ago may be lost with the machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import orjson

from tts.ports.roster import Attendance, Notice
from tts.store.roster_rows import attendance
from tts.store.sqlite_aside import SQLiteAside

SILENT_SECONDS = 3600  # after which nobody is on the roster any more

_NOW = "((julianday('now') - 2440587.5) * 86400.0)"
_TELL = (
    f"INSERT INTO roster VALUES (?, ?, {_NOW}, ?) "  # noqa: S608 -- made of the words above
    "ON CONFLICT (part, name) DO UPDATE SET at = excluded.at, facts = excluded.facts"
)
_MARK = (
    f"INSERT INTO roster_last VALUES (?, {_NOW}) "  # noqa: S608 -- see above
    "ON CONFLICT (part) DO UPDATE SET at = excluded.at"
)
_PRUNE = f"DELETE FROM roster WHERE at < {_NOW} - {SILENT_SECONDS}"  # noqa: S608 -- see above
_LEAVE = "DELETE FROM roster WHERE part = ? AND name = ?"
_READ = (
    f"SELECT part, name, facts, at, {_NOW} - at FROM roster "  # noqa: S608 -- see above
    "UNION ALL SELECT part, NULL, NULL, at, NULL FROM roster_last ORDER BY 1, 2"
)


class SQLiteRoster:
    """Implements Roster of :mod:`tts.ports.roster`; the file has been made by the store."""

    def __init__(self, path: Path) -> None:
        self._aside = SQLiteAside(path, "roster")

    async def tell(self, notices: Sequence[Notice]) -> None:
        """See :class:`tts.ports.roster.Roster`."""
        rows = [(each.part, each.name, orjson.dumps(each.facts).decode()) for each in notices]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_TELL, rows)
            connection.executemany(_MARK, [(each.part,) for each in notices])
            connection.execute(_PRUNE)

        await self._aside.write(work)

    async def leave(self, notices: Sequence[Notice]) -> None:
        """See :class:`tts.ports.roster.Roster`."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_MARK, [(each.part,) for each in notices])
            connection.executemany(_LEAVE, [(each.part, each.name) for each in notices])

        await self._aside.write(work)

    async def read(self) -> Attendance:
        """See :class:`tts.ports.roster.Roster`."""
        return attendance(await self._aside.do(lambda db: db.execute(_READ).fetchall()))

    async def aclose(self) -> None:
        """Let the file go."""
        await self._aside.aclose()
