"""Keeps the read models up to date with the log; one process leads, the others stand by.

When the log goes back, a read model in the same database has gone back with it, and goes on from
there. One that has applied what is gone is made anew, from the first event on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from projections.ports import Database, Projection, Transaction
from tts.patience import Outage, lead
from tts.ports.coordination import Coordination
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded

logger = logging.getLogger(__name__)

NAME = "projector"
BATCH = 500
GATHER_SECONDS = 0.05  # so far lists may be behind while much happens

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
        self._outage = Outage("The read models cannot be reached")
        self.leading = False
        self._stopped: dict[str, str] = {}
        self._positions = {projection.name: 0 for projection in projections}

    @property
    def position(self) -> int:
        """How far the slowest projection has come, as far as this process knows: 0 on a standby."""
        return min(self._positions.values())

    async def ready(self) -> None:
        """Return while every projection goes on, else raise Unavailable."""
        if self._stopped:
            raise Unavailable("; ".join(self._stopped.values()))

    async def run(self) -> None:
        """Wait for the leadership, project, and start over when it is lost; until canceled."""
        await lead(self._coordination, NAME, self._project)
        await asyncio.get_running_loop().create_future()

    async def _project(self) -> None:
        self.leading = True
        try:
            async with asyncio.TaskGroup() as group:
                for projection in self._projections:
                    group.create_task(self._keep_up(projection))
        finally:
            self.leading = False

    async def _keep_up(self, projection: Projection) -> None:
        while projection.name not in self._stopped:
            stored = await self._outage.wait_out(partial(self._stored, projection))
            self._positions[projection.name] = stored
            try:
                await self._follow(projection)
            except WentBack:
                await self._outage.wait_out(partial(self._forget, projection))

    async def _follow(self, projection: Projection) -> None:
        """Apply batch after batch, until the projection stops or its position is taken back.

        An event that comes alone is applied at once; what comes soon after it is gathered, since a
        transaction costs the same for one event as for twenty.
        """
        now = asyncio.get_running_loop().time
        async for events in self._log.follow(self._positions[projection.name], batch=BATCH):
            gathered_at = now() + GATHER_SECONDS
            if not await self._advance(projection, events):
                return
            if len(events) < BATCH:
                await asyncio.sleep(max(gathered_at - now(), 0))

    async def _advance(self, projection: Projection, events: Sequence[Recorded]) -> bool:
        """Apply the events, and say whether to go on behind them."""
        try:
            advanced = await self._apply(projection, events)
        except Unavailable as error:
            # Read again, since the log may be another when the database is back.
            await asyncio.sleep(self._outage.failed(error))
            return False
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
        self._outage.over()
        return advanced

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
                if stored == 0:
                    await projection.clear(transaction)
                await projection.apply(transaction, new)
                await transaction.execute(_MOVE, (new[-1].position, name))
        self._positions[name] = max(stored, events[-1].position)
        return True

    async def _forget(self, projection: Projection) -> None:
        """Remove every row if some tell of what the log has lost."""
        name = projection.name
        async with self._database.transaction() as transaction:
            try:
                self._log.epochs.check(await _lock(transaction, name))
            except WentBack:
                logger.warning("Read model %s is made anew: it has what the log has lost", name)
                for table in projection.tables:
                    await transaction.execute(f"DELETE FROM {table}")  # noqa: S608 -- its own
                await transaction.execute(_MOVE, (0, name))

    async def _stored(self, projection: Projection) -> int:
        rows = await self._database.fetch(_STORED, (projection.name,))
        return int(rows[0][0]) if rows else 0


async def _lock(transaction: Transaction, name: str) -> int:
    rows = await transaction.fetch(_LOCK, (name,))
    return int(rows[0][0])
