"""What the read model of usage promises, in both databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from projections.ports import Database
from projections.usage import UsageProjection
from projections.usage_queries import Standing, UsageQueries
from tests.builders import bring, complete, download, fail, record, start, succeed
from tests.histories import START, live, new_task, stored
from tests.read_models import apply as apply_all
from tests.services.stores import Store
from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.log import Recorded

TODAY = START.date().isoformat()
OWNERS = ("ann", "bob")


async def append(store: Store, *tasks: Task) -> None:
    for task in tasks:
        await store.append(stored(task))


async def fill(store: Store, count: int, seed: int) -> list[Task]:
    """Tasks of several owners, in whatever state chance has brought them to."""
    random = Random(seed)
    tasks = [
        live(
            new_task(random, owner=random.choice(OWNERS), segments=random.choice([1, 2])),
            random,
            steps=random.randrange(60),
        )
        for _ in range(count)
    ]
    lives = [stored(task) for task in tasks]
    while any(lives):
        await store.append([random.choice([events for events in lives if events]).pop(0)])
    return tasks


async def apply(store: Store, database: Database, *, size: int = 10_000) -> None:
    await apply_all(store, database, UsageProjection(), size=size)


async def of(database: Database, owner: str, since: str = TODAY) -> dict[str, Any]:
    page = await UsageQueries(database).page(owner=owner, since=since, cursor=None, limit=1)
    (usage,) = page.owners
    return usage


async def today(database: Database, owner: str = "") -> dict[str, Any]:
    (day,) = (await of(database, owner))["days"]
    return day


def count(log: Sequence[Recorded], topic: str, tasks: set[UUID]) -> int:
    return sum(event.topic == topic and event.task_id in tasks for event in log)


class TestSums:
    async def test_are_what_the_tasks_say(self, store, database):
        """Of each owner, whatever happened to its tasks."""
        tasks = await fill(store, 60, seed=1)
        await apply(store, database, size=7)
        log = await store.read(0, 10_000)
        for owner in OWNERS:
            own = [task for task in tasks if task.owner == owner]
            usage = await of(database, owner)
            assert usage["unfinished"] == sum(not task.final for task in own) > 0
            (day,) = usage["days"]
            assert day["tasks"] == len(own)
            assert day["characters"] == sum(task.text_length for task in own)
            ids = {task.id for task in own}
            assert day["predictions"] == count(log, Task.PredictionCreated.TOPIC, ids) > 0
            spoken = [task.duration for task in own if task.status is Status.SUCCEEDED]
            assert day["audioSeconds"] == sum(spoken) > 0

    async def test_count_seconds_of_a_prediction_once(self, store, database):
        """An output that has moved is fetched again and paid for once; a new prediction is new."""
        task = new_task(Random(4))
        bring(task, Status.DOWNLOADING)
        download(task, predict_time=1.5, output_url="https://replicate.test/moved.wav")
        await append(store, task)
        await apply(store, database)
        assert (await today(database))["predictSeconds"] == 1.5
        fail(task, abandoned=[0], settled=[])
        task.request_retry(by="a", reason="b", deadline_at=START, now=START)
        task.claim(worker="w2", now=START)
        start(task)
        record(task, prediction_id="p2")
        download(task, predict_time=2.25)
        complete(task)
        succeed(task)
        await append(store, task)
        await apply(store, database)
        day = await today(database)
        assert (day["predictions"], day["predictSeconds"]) == (2, 3.75)

    async def test_a_retry_costs_no_characters(self, store, database):
        """It is a task that goes on again, and no new one."""
        task = new_task(Random(5))
        fail(task)
        await append(store, task)
        await apply(store, database)
        assert (await of(database, ""))["unfinished"] == 0
        task.request_retry(by="a", reason="b", deadline_at=START, now=START)
        await append(store, task)
        await apply(store, database)
        assert (await of(database, ""))["unfinished"] == 1
        day = await today(database)
        assert (day["tasks"], day["characters"]) == (1, task.text_length)

    async def test_stay_when_a_task_is_erased(self, store, database):
        """Erasing what was said gives no characters back."""
        task = new_task(Random(6))
        fail(task)
        task.erase(by="a", now=START)
        await append(store, task)
        await apply(store, database)
        assert (await today(database))["characters"] == task.text_length
        assert (await of(database, ""))["unfinished"] == 0

    async def test_belong_to_the_day_of_the_request(self, store, database):
        """A day is one of UTC, and ends with it."""
        random = Random(7)
        midnight = START + timedelta(days=1)
        late = new_task(random, now=midnight - timedelta(microseconds=1))
        early = new_task(random, now=midnight)
        await append(store, late, early)
        await apply(store, database)
        days = (await of(database, ""))["days"]
        assert [(day["day"], day["tasks"]) for day in days] == [("2026-01-02", 1), (TODAY, 1)]
        newest = (await of(database, "", since="2026-01-02"))["days"]
        assert [day["day"] for day in newest] == ["2026-01-02"]


class TestQueries:
    async def test_pages_show_every_owner_once(self, store, database):
        """By name; each with its own days."""
        random = Random(9)
        await append(store, *(new_task(random, owner=f"o{n}") for n in range(5)))
        await apply(store, database)
        names, cursor = [], None
        for _ in range(3):
            page = await UsageQueries(database).page(
                owner=None, since=TODAY, cursor=cursor, limit=2
            )
            names += [usage["owner"] for usage in page.owners]
            assert all(usage["days"][0]["tasks"] == 1 for usage in page.owners)
            assert page.position == await store.position()
            cursor = page.next_cursor
        assert names == [f"o{n}" for n in range(5)]
        assert cursor is None

    async def test_an_owner_that_asked_for_nothing_has_taken_nothing(self, database):
        """It is no error: the first task may still come."""
        assert await of(database, "nobody") == {"owner": "nobody", "unfinished": 0, "days": []}

    async def test_the_standing_is_of_one_position(self, store, database):
        """Everybody's unfinished tasks and characters, from a day on."""
        random = Random(10)
        yesterday = new_task(random, owner="ann", now=START - timedelta(days=1))
        fail(yesterday)
        await append(store, yesterday, new_task(random, owner="bob", segments=2))
        queries = UsageQueries(database)
        assert await queries.standing(TODAY) == Standing(0, {}, {})
        await apply(store, database)
        position = await store.position()
        standing = await queries.standing(TODAY)
        assert standing == Standing(position, {"bob": 1}, {("bob", TODAY): 20})

    async def test_the_standing_of_a_model_that_is_being_made_anew_is_none(self, store, database):
        """Its old rows are of no position."""
        await append(store, new_task(Random(11), owner="ann"))
        await apply(store, database)
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE read_models SET position = 0")
        assert await UsageQueries(database).standing(TODAY) == Standing(0, {}, {})
