"""Read models that are kept up to date while a test runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from projections import registry
from projections.advance import Group
from projections.all_models import PROJECTIONS
from projections.ports import Database, Projection, Row
from projections.runner import Projector
from projections.task_queries import TaskQueries
from tests.services.stores import Store
from tests.waiting import until
from tts.ports.errors import Unavailable


@contextlib.asynccontextmanager
async def projecting(
    store: Store, database: Database, *projections: Projection
) -> AsyncIterator[Projector]:
    """A projector, of all read models if none is named, that runs while the context is open."""
    projector = Projector(store, database, projections or PROJECTIONS)
    run = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        run.cancel()
        await asyncio.wait([run])


async def caught_up(store: Store, database: Database) -> None:
    """Wait until the read models have come to the end of the log, as it is now."""
    queries = TaskQueries(database)
    end = await store.position()

    async def there() -> bool:
        with contextlib.suppress(Unavailable):  # before its tables are there
            return await queries.position() >= end
        return False

    await until(there, "the read models are at the end of the log")


async def project(store: Store, database: Database, *projections: Projection) -> None:
    """Bring the read models, all if none is named, to the end of the log."""
    async with projecting(store, database, *projections) as projector:
        end = await store.position()
        await until(lambda: projector.position >= end, "the read models are at the end of the log")


async def rows_of(database: Database, *projections: Projection) -> dict[str, list[Row]]:
    """What the read models say, table by table; a row whose sums are all 0 says nothing."""
    return {
        table.name: sorted(
            (
                row
                for row in await database.fetch(f"SELECT * FROM {table.view}")  # noqa: S608
                if not table.sums or any(row[list(table.columns).index(s)] for s in table.sums)
            ),
            key=str,
        )
        for projection in projections or PROJECTIONS
        for table in projection.tables
    }


async def apply(
    store: Store, database: Database, *projections: Projection, size: int = 10_000
) -> None:
    """Bring the read models, all if none is named, to the end of the log, ``size`` at once."""
    group = await standing(store, database, *projections)
    while events := await store.read(group.position, size):
        await group.apply(events)


async def standing(store: Store, database: Database, *projections: Projection) -> Group:
    """The read models, all if none is named, where they stand, which is one position."""
    there = await registry.serving(database)
    models = [(each, there[each.name].place) for each in projections or PROJECTIONS]
    return Group(database, store.events, models, there[models[0][0].name].position)
