"""Emptying the WAL of a SQLite file, so that what was erased is in no old copy of its page.

Somebody who reads the file for long, such as a backup, keeps the WAL as it is. Nobody who writes
waits for that: all is copied into the file beside the writers, and they stand back for the moment
alone in which nothing is left but to cut the WAL off.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = (0.002, 0.1)  # between two looks at who reads; doubled from the first to the second


class WalCleaner:
    """Empties the WAL by a connection of its own, opened by ``connect``.

    ``turn`` is held by whoever writes in this process. It goes on until it is done, whether or not
    anybody still waits for it.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], turn: asyncio.Lock) -> None:
        self._connect = connect
        self._turn = turn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-clean")
        self._connection: sqlite3.Connection | None = None
        self._ordered = self._emptied = 0
        self._progress = asyncio.Condition()
        self._cleaning: asyncio.Task[None] | None = None

    async def empty(self, seconds: float) -> bool:
        """Whether what is committed by now was taken out of the WAL within so many seconds."""
        self._ordered += 1
        order = self._ordered
        if self._cleaning is None or self._cleaning.done():
            self._cleaning = asyncio.create_task(self._clean())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._progress:
                await self._progress.wait_for(lambda: self._emptied >= order)
        return self._emptied >= order

    async def aclose(self) -> None:
        """Leave the rest to whoever opens the file next."""
        if self._cleaning is not None:
            self._cleaning.cancel()
            await asyncio.wait([self._cleaning])
        if self._connection is not None:
            await self._do(self._connection.close)
        self._thread.shutdown()

    async def _clean(self) -> None:
        pause, longest = PAUSE_SECONDS
        while self._emptied < self._ordered:
            ordered = self._ordered
            if await self._try():
                async with self._progress:
                    self._emptied = ordered
                    self._progress.notify_all()
                pause, _ = PAUSE_SECONDS
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    async def _try(self) -> bool:
        with contextlib.suppress(sqlite3.Error):  # somebody else's lock, or a full disk
            if await self._do(self._copied):
                async with self._turn:
                    return await self._do(self._cut)
        return False

    def _copied(self) -> bool:
        """Copy what nobody reads in its older form, and say whether that is all."""
        if self._connection is None:
            self._connection = self._connect()
            self._connection.execute("PRAGMA busy_timeout=0")
        _, frames, copied = self._checkpoint("PASSIVE")
        return frames == copied

    def _cut(self) -> bool:
        busy, _, _ = self._checkpoint("TRUNCATE")
        return not busy

    def _checkpoint(self, mode: str) -> tuple[int, int, int]:
        assert self._connection is not None  # noqa: S101 -- it was opened to copy
        row: tuple[int, int, int]
        row = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return row

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
