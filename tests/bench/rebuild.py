"""All read models made anew from a log, against reading and decoding it alone, by turns."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import orjson
import uvloop

from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.ports import Database
from projections.rebuild import Rebuild
from tests.bench.growth_log import fill
from tests.bench.records import Goal, Record, Row
from tests.services.postgres import Postgres
from tests.services.stores import Backend, Store

ROUNDS, EVENTS, BATCH = 3, 20_000, 500
LIMIT = 3


def main(rounds: int = ROUNDS, events: int = EVENTS) -> Record:
    """Both stores."""
    rows, goals = [], []
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
        postgres = Postgres(fsync=True)
        try:
            backends = {
                "SQLite": Backend(f"sqlite:///{Path(folder) / 'tts.db'}"),
                "PostgreSQL": Backend(postgres.create_database()),
            }
            for name, backend in backends.items():
                read, made = uvloop.run(_compare(backend, rounds, events))
                pair = (
                    Row(f"read and decode, {name}", {"events/s": read}),
                    Row(f"tts rebuild, {name}", {"events/s": made}),
                )
                rows += pair
                ratio = pair[0].median("events/s") / pair[1].median("events/s")
                text = f"{name}: time of a rebuild / read and decode"
                goals.append(Goal(text, ratio, LIMIT, at_least=False))
        finally:
            postgres.stop()
    return Record("rebuild", f"Read models from a log of {events:,} events", rows, goals)


async def _compare(backend: Backend, rounds: int, events: int) -> tuple[list[float], list[float]]:
    """Events a second, of reading and of making, for each turn."""
    await fill(backend, events)
    read, made = [], []
    async with backend.store() as store, open_database(backend.url) as database:
        for _ in range(rounds):
            began = time.monotonic()
            count = await _read(store)
            read.append(count / (time.monotonic() - began))
            made.append(count / await _rebuild(store, database))
    return read, made


async def _rebuild(store: Store, database: Database) -> float:
    """Seconds until all of the log is in; the pauses before old rows are removed do not count."""
    end, began, seconds = await store.position(), time.monotonic(), []

    def observe(position: int) -> None:
        if position >= end:
            seconds.append(time.monotonic() - began)

    await Rebuild(store, database, observe=observe).replace(PROJECTIONS)
    return seconds[0]


async def _read(store: Store) -> int:
    position = count = 0
    while events := await store.read(position, BATCH):
        for event in events:
            orjson.loads(event.state)
        position, count = events[-1].position, count + len(events)
    return count
