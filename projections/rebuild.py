"""Read models are made anew beside the rows that serve, and then take their place at once.

The same serves to verify: what the log gives now is compared with what was written as it happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from projections import registry
from projections.advance import Changes, Group
from projections.ports import Database, Projection, Transaction
from projections.table import Table
from tts.ports.coordination import Coordination
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded

NAME = "rebuild"  # the leadership: one at a time
BATCH = 4000
CATCHING_UP_MAX = 100  # times that the rows which serve may move on meanwhile
EXAMPLES = 3
GRACE_SECONDS = 1.0  # for those who have just learned where the old rows are

Observe = Callable[[int], None]
"""Is told the position that was reached."""


class Source(Log, Coordination, Protocol):
    """The log, and what makes one process of several the one that rebuilds."""

    async def events(self, task_id: UUID) -> list[Recorded]:
        """All events of one task in order."""
        ...


class NotWhole(Exception):
    """Events up to a position are in archives: what is made from the rest would be less."""

    def __init__(self, position: int, names: Sequence[str]) -> None:
        super().__init__(
            f"events up to {position} were moved to an archive; name its folder: "
            f"tts projections rebuild {' '.join(names)} --archive FOLDER"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """How a table differs from what the log gives; ``examples`` are rows, and which of the two."""

    table: str
    missing: int
    surplus: int
    examples: Sequence[tuple[str, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison came to, at the position where both stood."""

    position: int
    rows: int
    differences: Sequence[Difference]


class Rebuild:
    """Makes read models anew from the log, each in the place that does not serve."""

    def __init__(
        self, source: Source, database: Database, *, observe: Observe = lambda _: None
    ) -> None:
        self._source = source
        self._database = database
        self._observe = observe

    async def replace(self, projections: Sequence[Projection]) -> None:
        """Make them anew; the old rows serve until the new ones have caught up with the log.

        Raises:
            NotWhole, Unreadable, WentBack, Unavailable: nothing has changed.
        """
        async with self._source.leadership(NAME):
            group = await self._begun(projections)
            await self._catch_up(group)
            for projection, place in group.models:
                for table in projection.tables:
                    async with self._database.transaction() as transaction:
                        await transaction.complete(table, place)
            await self._switch(group)

    async def verify(self, projection: Projection) -> Verdict:
        """Compare what serves with what the log gives, as far as it has come.

        Raises:
            NotWhole, Unreadable, WentBack, Unavailable
        """
        async with self._source.leadership(NAME):
            group = await self._begun([projection])
            verdict = await self._compared(group)
            async with self._database.transaction() as transaction:
                await registry.clear(transaction, *group.models[0])
            return verdict

    async def _begun(self, projections: Sequence[Projection]) -> Group:
        await self._source.position()
        if archived := self._source.archived_to:
            raise NotWhole(archived, [projection.name for projection in projections])
        async with self._database.transaction() as transaction:
            models = [(each, await registry.begin_anew(transaction, each)) for each in projections]
        return self._group(models, 0)

    def _group(self, models: Sequence[tuple[Projection, int]], position: int) -> Group:
        return Group(self._database, self._source.events, models, position, serving=False)

    async def _catch_up(self, group: Group, until: int | None = None) -> None:
        """Apply what is in the log, up to a position or all.

        A batch is folded while the one before is written.
        """
        written = asyncio.create_task(asyncio.sleep(0))
        try:
            async with contextlib.aclosing(self._batches(group.position)) as batches:
                async for batch in batches:
                    events = batch if until is None else [e for e in batch if e.position <= until]
                    if events:
                        changes = await group.fold(events)
                        await written
                        written = asyncio.create_task(self._write(group, changes))
                    if len(events) < BATCH:
                        break
            await written
        finally:
            written.cancel()
            await asyncio.gather(written, return_exceptions=True)

    async def _write(self, group: Group, changes: Changes) -> None:
        await group.write(changes)
        self._observe(group.position)

    async def _batches(self, after: int) -> AsyncGenerator[list[Recorded], None]:
        """What is in the log, up to a batch that is not full; each is read ahead."""
        reading = asyncio.create_task(self._source.read(after, BATCH))
        try:
            while len(batch := await reading) == BATCH:
                reading = asyncio.create_task(self._source.read(batch[-1].position, BATCH))
                yield batch
            yield batch
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _switch(self, group: Group) -> None:
        """Have the new rows serve, one read model after the other, and remove the old ones."""
        models = list(group.models)
        while models:
            projection, place = models[0]
            if not await self._serve(projection, place, group.position):
                await self._catch_up(group)
                continue
            models.pop(0)
            # What serves is moved on by the projector.
            group = self._group(models, group.position)
            await asyncio.sleep(GRACE_SECONDS)
            async with self._database.transaction() as transaction:
                idle = await registry.idle_place(transaction, projection)
                await registry.clear(transaction, projection, idle)

    async def _serve(self, projection: Projection, place: int, position: int) -> bool:
        """Have the new rows serve unless the old ones are further; nobody moves those meanwhile."""
        async with self._database.transaction() as transaction:
            (_, old), *_ = (await registry.locked(transaction, projection.name)).items()
            with contextlib.suppress(WentBack):  # the old rows may tell of what the log has lost
                self._source.epochs.check(old)
                if position < old:
                    return False
            await registry.serve(transaction, projection.name, place)
            return True

    async def _compared(self, group: Group) -> Verdict:
        ((projection, place),) = group.models
        for _ in range(CATCHING_UP_MAX):
            old = (await registry.serving(self._database))[projection.name]
            await self._catch_up(group, old.position)
            async with self._database.snapshot() as transaction:
                there = (await registry.serving(transaction))[projection.name]
                if (there.place, there.position) != (old.place, group.position):
                    continue
                tables = projection.tables
                found = [await _difference(transaction, t, old.place, place) for t in tables]
                rows = [await _count(transaction, table, place) for table in tables]
            differences = [each for each in found if each.missing or each.surplus]
            return Verdict(group.position, sum(rows), differences)
        raise Unavailable("the rows that serve move on too fast to be compared")


async def _count(transaction: Transaction, table: Table, place: int) -> int:
    ((count,),) = await transaction.fetch(f"SELECT count(*) FROM {table.at(place)}")  # noqa: S608
    return int(count)


async def _difference(transaction: Transaction, table: Table, old: int, new: int) -> Difference:
    missing = await transaction.fetch(table.difference(new, old))
    surplus = await transaction.fetch(table.difference(old, new))
    examples = [("log", row) for row in missing[:EXAMPLES]]
    examples += [("model", row) for row in surplus[:EXAMPLES]]
    return Difference(table.name, len(missing), len(surplus), examples)
