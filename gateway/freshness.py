"""How far a read model is behind the log, and waiting until it is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from gateway.errors import InvalidRequest, ReadModelBehind
from tts import wire
from tts.observability.lag import lag
from tts.ports.log import Log

WAIT_SECONDS = 5.0


class ReadModel(Protocol):
    """What follows the log."""

    async def reach(self, position: int, seconds: float) -> int:
        """Wait until it has come there, for so long at most; returns where it has come to."""
        ...


class Freshness:
    """Looks from the log at what follows it."""

    def __init__(self, log: Log, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now

    async def reach(self, model: ReadModel, position: int | None) -> None:
        """Return when the read model has come to the position, if one is asked for.

        Raises:
            InvalidRequest: there is no such position.
            ReadModelBehind: it does not in time.
        """
        if position is None:
            return
        if position > (end := await self._log.position()):
            raise InvalidRequest(f"atLeast: the log ends at position {end}")
        there = await model.reach(position, WAIT_SECONDS)
        if there < position:
            raise ReadModelBehind(
                f"atLeast: after {WAIT_SECONDS:g} s this is at position {there}, not yet at "
                f"{position}",
                retry_after=1,
            )

    async def of(self, position: int) -> wire.Fresh:
        """What an answer says that has come to the position."""
        return {"position": position, "lag": await lag(self._log, position, self._now())}
