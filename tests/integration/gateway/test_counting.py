"""What gateways count for quotas, in both databases: the truth, from wherever they begin."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from gateway.access.roles import Access, Quota, Role
from gateway.errors import TooManyTasks
from gateway.quotas import Quotas
from gateway.streams.owners import Owners
from projections.database import open_database
from projections.ports import Database
from projections.usage import UsageProjection
from projections.usage_queries import UsageQueries
from tests.histories import START, live, new_task, stored
from tests.read_models import apply, standing
from tests.services.stores import Backend, Store
from tests.waiting import until
from tts.domain.task import Task
from tts.ports.epochs import WentBack
from tts.ports.log import Recorded

OWNERS = ("ann", "bob", "")
TODAY = START.date().isoformat()
NO_LIMIT = Quota(max_tasks=10**6)


async def fill(store: Store, count: int, seed: int) -> list[Task]:
    random = Random(seed)
    tasks = [
        live(new_task(random, owner=random.choice(OWNERS)), random, steps=random.randrange(40))
        for _ in range(count)
    ]
    lives = [stored(task) for task in tasks]
    while any(lives):
        await store.append([random.choice([events for events in lives if events]).pop(0)])
    return tasks


@contextlib.asynccontextmanager
async def counting(
    store: Store, database: Database, default: Quota = NO_LIMIT
) -> AsyncIterator[Quotas]:
    owners, standing = Owners(store.events), UsageQueries(database).standing
    quotas = Quotas(standing, store, owners.of, default, lambda: START)
    try:
        yield quotas
    finally:
        await quotas.aclose()


def truth(tasks: list[Task]) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    unfinished = Counter(task.owner for task in tasks if not task.final)
    characters: Counter[tuple[str, str]] = Counter()
    for task in tasks:
        characters[task.owner, TODAY] += task.text_length
    return unfinished, characters


def counted(quotas: Quotas) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    return quotas._taken.unfinished, quotas._taken.characters


def key_of(owner: str) -> Access:
    return Access(owner, Role.APP, "0" * 8)


@pytest.mark.parametrize("projected", [0.0, 0.4, 1.0], ids=["nothing", "a part", "everything"])
async def test_the_count_is_the_same_from_wherever_it_begins(
    store: Store, database: Database, projected: float
):
    """Whatever the read model has seen, the log has the rest."""
    tasks = await fill(store, 60, seed=1)
    log = await store.read(0, 10_000)
    if part := log[: int(len(log) * projected)]:
        group = await standing(store, database, UsageProjection())
        await group.apply(part)
    async with counting(store, database) as quotas:
        with await quotas.take(key_of("ann"), 0):
            pass  # and given back
        assert counted(quotas) == truth(tasks)
        tasks += await fill(store, 20, seed=2)
        await until(lambda: counted(quotas) == truth(tasks), "what happened since is counted")


async def test_a_place_counts_once_before_and_after_it_is_seen(store: Store, database: Database):
    """Between the answer and the log's news nothing is counted twice or not at all."""
    random, tasks = Random(3), []
    async with counting(store, database, Quota(max_tasks=10)) as quotas:

        async def request() -> None:
            with await quotas.take(key_of("ann"), 10) as place:
                await asyncio.sleep(random.random() / 100)
                task = new_task(random, owner="ann")
                place.recorded(await store.append(stored(task)))
                tasks.append(task)
            assert counted(quotas)[0]["ann"] >= len(tasks)

        outcomes = await asyncio.gather(*(request() for _ in range(30)), return_exceptions=True)
        refusals = [outcome for outcome in outcomes if outcome is not None]
        assert len(tasks) == 10
        assert {type(refusal) for refusal in refusals} == {TooManyTasks}
        assert counted(quotas) == truth(tasks)
        end = await store.position()
        await until(lambda: quotas._taken.position == end, "everything is seen")
        assert counted(quotas) == truth(tasks)
        assert not quotas._taken._places


class Losing:
    """A log that has lost everything before its present beginning, once it is said to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _check(self, after: int) -> None:
        if 0 < after <= self.lost:
            raise WentBack(survived=0, seen=after)

    async def read(self, after: int, *more: Any) -> list[Recorded]:
        """Events of the log as it is now."""
        self._check(after)
        return await self._store.read(max(after, self.lost), *more)

    async def follow(self, after: int, **more: Any) -> AsyncIterator[list[Recorded]]:
        """The same, until a loss is noticed."""
        async for events in self._store.follow(after, **more):
            self._check(after)
            yield events


async def test_what_the_log_has_lost_counts_no_longer(backend: Backend, caplog):
    """Neither for a gateway that had seen it, nor for a read model that had counted it."""
    async with backend.store() as store, open_database(backend.url) as database:
        log = Losing(store)
        await fill(store, 10, seed=6)
        await apply(store, database, UsageProjection())
        async with counting(log, database) as quotas:
            with await quotas.take(key_of("ann"), 0):
                pass
            log.lost = await store.position()
            tasks = await fill(store, 10, seed=7)
            await until(lambda: counted(quotas) == truth(tasks), "it is counted anew")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_count_that_broke_off_begins_anew(backend: Backend, monkeypatch, caplog):
    """It is reported, and the next request has the truth again."""
    async with backend.store() as store, open_database(backend.url) as database:
        tasks = await fill(store, 5, seed=4)
        async with counting(store, database) as quotas:
            with await quotas.take(key_of("ann"), 0):
                pass

            async def broken(*_: object) -> None:
                raise ValueError("no such event")

            see = quotas._see
            monkeypatch.setattr(quotas, "_see", broken)
            tasks += await fill(store, 5, seed=5)
            await until(lambda: not quotas._counted.is_set(), "it breaks off")
            monkeypatch.setattr(quotas, "_see", see)
            with await quotas.take(key_of("ann"), 0):
                pass
            assert counted(quotas) == truth(tasks)
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
