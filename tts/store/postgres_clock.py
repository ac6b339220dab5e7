"""The time by PostgreSQL's clock, which all processes share, whatever their own machines show.

Deadlines, waits and the look into Replicate's list compare times that different processes wrote
down. A machine whose clock is wrong, or steps, must not make them wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

ASK_SECONDS = 2.0  # between two looks at the server's clock
SKEW_SECONDS = 1.0  # that a machine's clock may be off without a word

Ask = Callable[[], Awaitable[float]]
"""The server's time in seconds since 1970."""
ObserveSkew = Callable[[float], None]
"""Is told by how many seconds this machine's clock is ahead."""


class ServerClock:
    """Shows the server's time; until that is known, this machine's.

    From one look at it to the next the seconds are counted by a clock that nobody sets. ``skew`` is
    by how many seconds this machine's own clock is ahead; ``observe`` is told of it.
    """

    def __init__(self, observe: ObserveSkew = lambda _: None) -> None:
        self.skew = 0.0
        self._observe = observe
        self._start: float | None = None  # the server's time at zero of the monotonic clock
        self._wrong = False

    def now(self) -> datetime:
        """The present time with its offset."""
        if self._start is None:
            return datetime.now(UTC)
        return datetime.fromtimestamp(self._start + time.monotonic(), UTC)

    def heard(self, shown: float, *, asked: float, answered: float) -> None:
        """The server's clock has shown a time, somewhere between two of the monotonic clock."""
        earliest, latest = shown - answered, shown - asked
        # No more is changed than the answer demands: a slow one says little, and does no harm.
        start = (earliest + latest) / 2 if self._start is None else self._start
        self._start = min(max(start, earliest), latest)
        if latest - earliest < SKEW_SECONDS:
            self._compare()

    async def keep(self, ask: Ask) -> None:
        """Look at the server's clock again and again, until canceled."""
        while True:
            with contextlib.suppress(Unavailable):  # others say so; meanwhile the seconds count
                await self.look(ask)
            await asyncio.sleep(ASK_SECONDS)

    async def look(self, ask: Ask) -> None:
        """Look at the server's clock.

        Raises:
            Unavailable
        """
        asked = time.monotonic()
        shown = await ask()
        self.heard(shown, asked=asked, answered=time.monotonic())

    def notes(self) -> list[str]:
        """What an operator should mend."""
        return [f"{self._sentence()}; set it (NTP)"] if self._wrong else []

    def _compare(self) -> None:
        self.skew = time.time() - self.now().timestamp()
        self._observe(self.skew)
        was_wrong, self._wrong = self._wrong, abs(self.skew) > SKEW_SECONDS
        if self._wrong and not was_wrong:
            logger.warning("%s: times are taken from there. Set it (NTP)", self._sentence())
        elif was_wrong and not self._wrong:
            logger.info("The clock of this machine shows the database's time again")

    def _sentence(self) -> str:
        how = "ahead of" if self.skew > 0 else "behind"
        return f"the clock of this machine is {abs(self.skew):.1f} s {how} the database's"
