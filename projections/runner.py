"""Keeps the read models up to date with the log; one process leads, the others stand by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from projections.ports import Database, Projection, Transaction
from tts.patience import first_of
from tts.ports.coordination import Coordination
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded
from tts.store.tailer import BACKOFF_SECONDS

logger = logging.getLogger(__name__)

T = TypeVar("T")

NAME = "projector"
RESET_POLL_SECONDS = 1.0  # until a reset by another process is noticed while nothing is appended

_STORED = "SELECT position FROM rm_positions WHERE name = ?"
# Locks the row too: two processes that both believe to lead apply one after the other.
_LOCK = (
    "INSERT INTO rm_positions (name, position) VALUES (?, 0) "
    "ON CONFLICT (name) DO UPDATE SET position = rm_positions.position RETURNING position"
)
_MOVE = "UPDATE rm_positions SET position = ? WHERE name = ?"


class Projector:
    """Applies the log to every projection, each from its own position on.

    A projection that cannot apply an event stops in front of it for as long as this process lives,
    and :meth:`ready` says so. When none is left, the leadership goes to a standby, which may be of
    a newer version.
    """

    def __init__(
        self,
        log: Log,
        coordination: Coordination,
        database: Database,
        projections: Sequence[Projection],
    ) -> None:
        self._log = log
        self._coordination = coordination
        self._database = database
        self._projections = projections
        self.leading = False
        self._stopped: dict[str, str] = {}
        self._positions = {projection.name: 0 for projection in projections}

    @property
    def position(self) -> int:
        """How far the slowest projection has come, as far as this process knows: 0 on a standby."""
        return min(self._positions.values())

    async def lag(self) -> int:
        """How many positions the slowest projection is behind the log, whoever leads."""
        reached = [await self._stored(projection) for projection in self._projections]
        return max(await self._log.position() - min(reached), 0)

    async def ready(self) -> None:
        """Return while every projection goes on, else raise Unavailable."""
        if self._stopped:
            raise Unavailable("; ".join(self._stopped.values()))

    async def run(self) -> None:
        """Wait for the leadership, project, and start over when it is lost; until canceled."""
        while len(self._stopped) < len(self._projections):
            try:
                async with self._coordination.leadership(NAME) as leadership:
                    logger.info("Leading the projector")
                    self.leading = True
                    await first_of(leadership.lost(), self._project())
                logger.warning("No longer leading the projector")
            except Unavailable as error:
                logger.warning("The projector starts over: %s", error)
            finally:
                self.leading = False
            await asyncio.sleep(BACKOFF_SECONDS[0])
        await asyncio.get_running_loop().create_future()

    async def _project(self) -> None:
        async with asyncio.TaskGroup() as group:
            for projection in self._projections:
                group.create_task(self._keep_up(projection))

    async def _keep_up(self, projection: Projection) -> None:
        while projection.name not in self._stopped:
            stored = await _patiently(lambda: self._stored(projection))
            self._positions[projection.name] = stored
            await first_of(self._follow(projection), self._taken_back(projection))

    async def _follow(self, projection: Projection) -> None:
        """Apply batch after batch, until the projection stops or its position is taken back."""
        async for events in self._log.follow(self._positions[projection.name]):
            if not await self._advance(projection, events):
                return

    async def _taken_back(self, projection: Projection) -> None:
        """Return when the position was reset, which an idle log would not tell."""
        while True:
            await asyncio.sleep(RESET_POLL_SECONDS)
            stored = await _patiently(lambda: self._stored(projection))
            if stored < self._positions[projection.name]:
                return

    async def _advance(self, projection: Projection, events: Sequence[Recorded]) -> bool:
        """Apply the events, and say whether to go on behind them."""
        try:
            return await _patiently(lambda: self._apply(projection, events))
        except Exception as error:
            if len(events) > 1:  # those in front of the one that does not fit are applied
                for event in events:
                    if not await self._advance(projection, [event]):
                        return False
                return True
            at = f"{events[0].topic} at position {events[0].position}"
            self._stopped[projection.name] = f"read model {projection.name} stopped: {at}: {error}"
            logger.exception(
                "Read model %s stops: it cannot apply %s",
                projection.name,
                at,
                extra={"task_id": str(events[0].task_id), "position": events[0].position},
            )
            return False

    async def _apply(self, projection: Projection, events: Sequence[Recorded]) -> bool:
        """Write rows and position together; false if the stored position is behind ours."""
        name = projection.name
        async with self._database.transaction() as transaction:
            stored = await _lock(transaction, name)
            if stored < self._positions[name]:
                return False
            # The others were applied by another leader, or by a commit whose reply was lost.
            new = [event for event in events if event.position > stored]
            if new:
                await projection.apply(transaction, new)
                await transaction.execute(_MOVE, (new[-1].position, name))
        self._positions[name] = max(stored, events[-1].position)
        return True

    async def _stored(self, projection: Projection) -> int:
        rows = await self._database.fetch(_STORED, (projection.name,))
        return int(rows[0][0]) if rows else 0


async def reset(database: Database, projection: Projection) -> None:
    """Remove a read model's rows; whoever leads builds them anew from the first event on."""
    async with database.transaction() as transaction:
        await _lock(transaction, projection.name)
        await projection.reset(transaction)
        await transaction.execute(_MOVE, (0, projection.name))


async def _lock(transaction: Transaction, name: str) -> int:
    rows = await transaction.fetch(_LOCK, (name,))
    return int(rows[0][0])


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Repeat the work for as long as a database is away."""
    failures = 0
    while True:
        try:
            return await work()
        except Unavailable as error:
            if failures == 0:
                logger.warning("The read models cannot be reached, trying again: %s", error)
            delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            failures += 1
            await asyncio.sleep(delay)
