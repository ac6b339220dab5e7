"""Read models made anew from a log, all and the dearest alone, against reading and decoding it.

By turns. Another model alone takes less: ``tasks`` has the most rows and indexes.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvloop

from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.ports import Database, Projection
from projections.rebuild import Rebuild
from projections.tasks import NAME as TASKS
from tests.bench.growth_log import fill
from tests.bench.records import Goal, Record, Row
from tests.services.postgres import Postgres
from tests.services.stores import Backend, Store
from tts.cli.commands import COLLECT_AFTER_OBJECTS

ROUNDS, EVENTS, BATCH = 3, 20_000, 500
LIMIT = 3
GOALS = {"SQLite": 60_000, "PostgreSQL": 25_000}  # events/s of one model


def main(rounds: int = ROUNDS, events: int = EVENTS) -> Record:
    """Both stores."""
    gc.set_threshold(COLLECT_AFTER_OBJECTS)  # as in every process of the service
    rows, goals = [], []
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
        postgres = Postgres(fsync=True)
        try:
            backends = {
                "SQLite": Backend(f"sqlite:///{Path(folder) / 'tts.db'}"),
                "PostgreSQL": Backend(postgres.create_database()),
            }
            for name, backend in backends.items():
                read, alone, made = (
                    Row(f"{what}, {name}", {"events/s": rates})
                    for what, rates in uvloop.run(_compare(backend, rounds, events)).items()
                )
                rows += [read, alone, made]
                rate = alone.median("events/s")
                goals.append(Goal(f"{name}: `tasks` alone", rate, GOALS[name], unit="events/s"))
                for row in (alone, made):
                    ratio = read.median("events/s") / row.median("events/s")
                    text = f"time: {row.subject} / read and decode"
                    goals.append(Goal(text, ratio, LIMIT, at_least=False))
        finally:
            postgres.stop()
    return Record("rebuild", f"Read models from a log of {events:,} events", rows, goals)


async def _compare(backend: Backend, rounds: int, events: int) -> dict[str, list[float]]:
    """Events a second, of reading and of making, for each turn."""
    await fill(backend, events)
    found: dict[str, list[float]] = {}
    tasks = [projection for projection in PROJECTIONS if projection.name == TASKS]
    async with backend.store() as store, open_database(backend.url) as database:
        for _ in range(rounds):
            began = time.monotonic()
            count = await _read(store)
            seconds = {
                "read and decode": time.monotonic() - began,
                "rebuild of tasks": await _rebuild(store, database, tasks),
                "rebuild of all": await _rebuild(store, database, PROJECTIONS),
            }
            for what, took in seconds.items():
                found.setdefault(what, []).append(count / took)
    return found


async def _rebuild(store: Store, database: Database, projections: Sequence[Projection]) -> float:
    """Seconds until all of the log is in; the pauses before old rows are removed do not count."""
    end, began, seconds = await store.position(), time.monotonic(), []

    def observe(position: int) -> None:
        if position >= end:
            seconds.append(time.monotonic() - began)

    await Rebuild(store, database, observe=observe).replace(projections)
    return seconds[0]


async def _read(store: Store) -> int:
    position = count = 0
    while events := await store.read(position, BATCH):
        for event in events:
            orjson.loads(event.state)
        position, count = events[-1].position, count + len(events)
    return count
