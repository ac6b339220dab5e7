"""A connection beside the store's, to the same SQLite file, for what need not wait for the disk.

What it wrote a moment ago may be lost with the machine, unless the log is written after it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tts.ports.errors import Unavailable
from tts.store.sqlite_file import connect

T = TypeVar("T")


class SQLiteAside:
    """One connection in a thread of its own; ``name`` is the thread's."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in the thread.

        Raises:
            Unavailable: SQLite refuses.
        """

        def run() -> T:
            if self._connection is None:
                self._connection = connect(self._path, synchronous="NORMAL")
            return work(self._connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except sqlite3.Error as error:
            raise Unavailable(f"SQLite file {self._path}: {error}") from error

    async def write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do the work in one transaction.

        Raises:
            Unavailable: SQLite refuses.
        """

        def transact(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back
                work(connection)

        await self.do(transact)

    async def aclose(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            await self.do(lambda connection: connection.close())
        self._thread.shutdown()
