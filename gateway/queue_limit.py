"""Whether more tasks wait than anybody can work off: then no more are accepted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from gateway.errors import QueueFull
from tts.domain.values import FINAL
from tts.patience import Outage

LOOK_SECONDS = 1.0
RETRY_SECONDS = 30


class QueueLimit:
    """Looks each second, so that a request only reads a number.

    ``counts`` tells how many tasks there are in each status. More than ``most`` unfinished ones may
    come in within a second, or while the read model lags: it is a bound on growth, not a quota. A
    ``most`` of 0 is none.
    """

    def __init__(self, counts: Callable[[], Awaitable[dict[str, int]]], most: int) -> None:
        self._counts = counts
        self._most = most or math.inf
        self._unfinished = 0

    def check(self) -> None:
        """Raise :class:`QueueFull` when the limit is reached."""
        if self._unfinished >= self._most:
            raise QueueFull(f"{self._unfinished} tasks are unfinished", retry_after=RETRY_SECONDS)

    async def watch(self) -> None:
        """Keep looking; while the read model cannot be read, what was seen last stands."""
        outage = Outage("The backlog cannot be read")
        while True:
            counts = await outage.wait_out(self._counts)
            self._unfinished = sum(n for status, n in counts.items() if status not in FINAL)
            await asyncio.sleep(LOOK_SECONDS)
