"""Read models that are kept up to date while a test runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from projections.ports import Database, Projection
from projections.runner import Projector
from projections.tasks import TaskQueries, TasksProjection
from tests.services.stores import Store
from tests.waiting import until
from tts.ports.errors import Unavailable


@contextlib.asynccontextmanager
async def projecting(
    store: Store, database: Database, *projections: Projection
) -> AsyncIterator[Projector]:
    """A projector, of the tasks if of nothing else, that runs while the context is open."""
    projector = Projector(store, store, database, projections or [TasksProjection()])
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
    """Bring the read models, that of tasks if none is named, to the end of the log."""
    async with projecting(store, database, *projections) as projector:
        end = await store.position()
        await until(lambda: projector.position >= end, "the read models are at the end of the log")
