"""What the read models promise, in both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from projections import runner
from projections.cursor import BadCursor
from projections.database import open_database
from projections.ports import Database, Transaction
from projections.runner import Projector
from projections.tasks import TaskPage, TaskQueries, TasksProjection
from tests.builders import fail
from tests.histories import START, live, new_task, stored
from tests.read_models import caught_up, project, projecting
from tests.services.stores import Backend, Store
from tests.waiting import SECONDS, until
from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.errors import Unavailable
from tts.ports.log import Payload
from tts.store import sqlite_file
from tts.wire import task_answer

TABLES = (
    "SELECT * FROM rm_tasks ORDER BY task_id",
    "SELECT * FROM rm_dead_letters ORDER BY task_id",
    "SELECT * FROM rm_task_counts WHERE tasks <> 0 ORDER BY status",
    "SELECT * FROM rm_positions ORDER BY name",
)


@pytest.fixture
async def store(backend: Backend):
    async with backend.store() as store:
        yield store


@pytest.fixture
async def database(backend: Backend):
    async with open_database(backend.url) as database:
        yield database


@contextlib.asynccontextmanager
async def running(projector: Projector) -> AsyncIterator[asyncio.Task[None]]:
    run = asyncio.create_task(projector.run())
    try:
        yield run
    finally:
        run.cancel()
        await asyncio.wait([run])


async def fill(store: Store, count: int, seed: int, **options) -> list[Task]:
    """Let ``count`` tasks live side by side in the log."""
    random = Random(seed)
    tasks = [
        live(
            new_task(
                random,
                now=START + timedelta(milliseconds=250 * n),
                template_id=f"t{n % 3}",
                **options,
            ),
            random,
            steps=random.randrange(30),
        )
        for n in range(count)
    ]
    lives = [stored(task) for task in tasks]
    while any(lives):
        events = random.choice([events for events in lives if events])
        await store.append([events.pop(0) for _ in range(min(len(events), random.randint(1, 3)))])
    return tasks


async def listing(database: Database, **filters) -> TaskPage:
    nothing = {"status": None, "template_id": None, "since": None, "cursor": None}
    return await TaskQueries(database).list(**{"owner": "", "limit": 1000} | nothing | filters)


async def tables(database: Database) -> list[list[tuple]]:
    return [await database.fetch(sql) for sql in TABLES]


async def drop(database: Database) -> None:
    """Remove every row of the read models, and how far they had come."""
    async with database.transaction() as transaction:
        for sql in TABLES:
            table = sql.split()[3]
            await transaction.execute(f"DELETE FROM {table}")  # noqa: S608 -- a name from above


class Counting:
    """Counts the transactions on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transactions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:  # noqa: D102
        self.transactions += 1
        return self._database.transaction()


class Grumpy(TasksProjection):
    """Cannot apply the events of one topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    async def apply(self, transaction, events) -> None:  # noqa: D102 -- the class says it
        await super().apply(transaction, events)  # its rows must not stay
        if any(event.topic == self.topic for event in events):
            raise KeyError(self.topic)


# --- the rows


NOT_IN_LISTS = (
    "ttsText",
    "instruction",
    "maxAttempts",
    "priority",
    "dismissedAt",
    "segments",
    "segmentsDone",
    "partialAudioUrls",
)


async def test_each_row_says_what_its_task_says(store, database):
    """The list and the single task agree in every field, whatever happened."""
    tasks = await fill(store, 60, seed=1, segments=2)
    await project(store, database)
    page = await listing(database)
    assert len(page.tasks) == 60
    assert page.position == await store.position()
    shown = {row["taskId"]: row for row in page.tasks}
    for task in tasks:
        newest = (await store.events(task.id))[-1]
        answer = task_answer(task, newest.position, None, lambda key: key)
        row = shown[str(task.id)]
        assert row["objectKey"] == answer.pop("audioUrl")
        for absent in NOT_IN_LISTS:
            answer.pop(absent, None)
        assert {name: row[name] for name in answer} == answer
        assert all(row[name] is None for name in row.keys() - answer.keys() - {"objectKey"})


async def test_counts_are_those_of_the_rows(store, database):
    """Kept in a table of their own, batch by batch, they never drift."""
    tasks = await fill(store, 60, seed=2)
    await project(store, database)
    expected: dict[str, int] = {}
    for task in tasks:
        expected[task.status.value] = expected.get(task.status.value, 0) + 1
    assert await TaskQueries(database).counts() == expected


async def test_rows_do_not_depend_on_how_events_were_batched(store, database):
    """One event at a time gives what batches give, and what is applied already is left out."""
    await fill(store, 20, seed=3)
    await project(store, database)
    at_once = await tables(database)
    tasks = TasksProjection()
    await drop(database)
    projector = Projector(store, store, database, [tasks])
    log = await store.read(0, 10_000)
    for n in range(len(log)):
        # As after a lost reply to the commit: the last ones come again.
        assert await projector._apply(tasks, log[max(n - 2, 0) : n + 1])
    assert await tables(database) == at_once


async def test_a_read_model_that_is_dropped_comes_out_the_same(store, database):
    """The next projector builds it anew from the log."""
    await fill(store, 40, seed=4)
    await project(store, database)
    before = await tables(database)
    assert len(before[0]) == 40
    await drop(database)
    await project(store, database)
    assert await tables(database) == before


async def test_rows_that_are_lost_under_the_projector_come_back(store, database):
    """As when the database loses its last commits in a crash: the next event finds them missing."""
    await fill(store, 40, seed=4)
    async with running(Projector(store, store, database, [TasksProjection()])):
        await caught_up(store, database)
        await drop(database)
        await fill(store, 1, seed=5)
        await caught_up(store, database)
        after = await tables(database)
    await drop(database)
    await project(store, database)
    assert await tables(database) == after
    assert len(after[0]) == 41


async def test_a_message_from_elsewhere_stops_no_read_model(store, database):
    """Not even with a character that PostgreSQL does not store."""
    task = new_task(Random(31))
    fail(task, message="bad\0 output")
    await store.append(stored(task))
    await project(store, database)
    assert (await listing(database)).tasks[0]["error"] == "bad\ufffd output"


async def test_nothing_that_was_said_is_in_a_read_model(store, database):
    """Neither text nor instruction: erasing a payload must leave no copy."""
    task = new_task(Random(5))
    await store.append(stored(task), Payload("一句秘密", "小声地", "salt"))
    await project(store, database)
    everything = str(await tables(database))
    assert str(task.id) in everything
    assert "秘密" not in everything
    assert "小声" not in everything


# --- lists


async def test_pages_show_every_task_once_newest_first(store, database):
    """Tasks that are added or change meanwhile move nobody to another page."""
    tasks = await fill(store, 25, seed=6)
    await project(store, database)
    seen: list[str] = []
    cursor = None
    while True:
        page = await listing(database, limit=10, cursor=cursor)
        seen += [task["taskId"] for task in page.tasks]
        await fill(store, 1, seed=100 + len(seen), owner="")
        await project(store, database)
        if (cursor := page.next_cursor) is None:
            break
    newest_first = sorted(tasks, key=lambda task: (task.created_on, str(task.id)), reverse=True)
    assert [task for task in seen if task in {str(t.id) for t in tasks}] == [
        str(task.id) for task in newest_first
    ]
    assert len(seen) == len(set(seen))


async def test_tasks_of_the_same_instant_do_not_hide_each_other(store, database):
    """The id decides between equal times."""
    random = Random(7)
    for _ in range(9):
        await store.append(stored(new_task(random)))
    await project(store, database)
    seen = []
    cursor = None
    for _ in range(3):
        page = await listing(database, limit=3, cursor=cursor)
        seen += [task["taskId"] for task in page.tasks]
        cursor = page.next_cursor
    assert cursor is None
    assert len(set(seen)) == 9


async def test_filters_narrow_the_list(store, database):
    """By status, template and time of creation, alone and together."""
    tasks = await fill(store, 40, seed=8)
    await project(store, database)

    async def ids(**filters) -> set[str]:
        return {task["taskId"] for task in (await listing(database, **filters)).tasks}

    since = tasks[20].created_on
    failed = {str(t.id) for t in tasks if t.status is Status.FAILED}
    of_t1 = {str(t.id) for t in tasks if t.template_id == "t1"}
    late = {str(t.id) for t in tasks[20:]}
    assert failed
    assert await ids(status="failed") == failed
    assert await ids(template_id="t1") == of_t1
    assert await ids(since=since) == late
    assert await ids(status="failed", template_id="t1", since=since) == failed & of_t1 & late
    assert await ids(status="no such") == set()


async def test_an_owner_sees_own_tasks_only(store, database):
    """No owner at all is an owner like any other."""
    mine = await fill(store, 3, seed=9, owner="ann")
    await fill(store, 3, seed=10, owner="bob")
    await fill(store, 3, seed=11)
    await project(store, database)
    page = await listing(database, owner="ann")
    assert {task["taskId"] for task in page.tasks} == {str(task.id) for task in mine}
    assert len((await listing(database)).tasks) == 3
    assert (await listing(database, owner="ANN")).tasks == []


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!!",
        "é",
        "W10",
        "bnVsbA",
        "WzEsMl0",
        "WyIyMDI2LTAxLTAxIiwgMV0",
        "eyJhIjoxfQ",
        "WyJhIiwiYiJd",
    ],
)
async def test_a_cursor_of_somebody_elses_making_is_refused(database, cursor):
    """It is no server error."""
    with pytest.raises(BadCursor):
        await listing(database, cursor=cursor)


async def test_an_empty_read_model_answers(database):
    """The gateway may be up before the first projector is."""
    assert await listing(database) == TaskPage([], None, 0)
    assert await TaskQueries(database).counts() == {}


# --- the projector


async def test_the_rows_follow_the_log(store, database):
    """An append is in the list soon after."""
    projector = Projector(store, store, database, [TasksProjection()])
    async with running(projector):
        for seed in range(3):
            await fill(store, 2, seed=20 + seed)
            await caught_up(store, database)
            assert len((await listing(database)).tasks) == 2 * (seed + 1)
        assert projector.position == await store.position()


async def test_an_event_that_comes_alone_is_applied_at_once(store, database, monkeypatch):
    """Nobody waits for others to come."""
    monkeypatch.setattr(runner, "GATHER_SECONDS", 3600)
    async with projecting(store, database):
        await store.append(stored(new_task(Random(0))))
        await caught_up(store, database)


async def test_events_that_come_together_are_applied_together(store, database, monkeypatch):
    """A transaction costs much the same for one event as for twenty."""
    monkeypatch.setattr(runner, "GATHER_SECONDS", 1.0)
    counting = Counting(database)
    async with projecting(store, counting):
        await store.append(stored(new_task(Random(0))))
        await caught_up(store, database)
        for n in range(20):
            await store.append(stored(new_task(Random(n + 1))))
        await caught_up(store, database)
        assert counting.transactions < 8


async def test_an_event_that_cannot_be_applied_stops_its_projection_in_front_of_it(
    store, database, caplog
):
    """It is reported once and not walked past: what stands before it is applied, nothing behind."""
    good, bad = new_task(Random(12)), uuid4()
    await store.append(stored(good))
    unknown = await store.append([StoredEvent(bad, 1, "tts.task.from_the_future", b"{}")])
    await fill(store, 3, seed=13)
    projector = Projector(store, store, database, [TasksProjection()])
    async with running(projector):

        async def stopped() -> bool:
            try:
                await projector.ready()
            except Unavailable as error:
                return f"tts.task.from_the_future at position {unknown}" in str(error)
            return False

        await until(stopped, "the projection stops")
        await fill(store, 1, seed=14)
        # The leadership is free for a version that knows the event.
        async with asyncio.timeout(SECONDS), store.leadership("projector"):
            pass
        assert [task["taskId"] for task in (await listing(database)).tasks] == [str(good.id)]
        assert await TaskQueries(database).position() == unknown - 1
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].position == unknown


async def test_a_failed_batch_leaves_no_row(store, database):
    """Rows and position are one transaction."""
    await store.append(stored(new_task(Random(15))))
    grumpy = Grumpy(Task.Requested.TOPIC)
    projector = Projector(store, store, database, [grumpy])
    with pytest.raises(KeyError):
        await projector._apply(grumpy, await store.read(0, 10))
    assert (await listing(database)).tasks == []
    assert await TaskQueries(database).position() == 0


async def test_a_standby_takes_over(store, database, backend):
    """It goes on where the leader stopped; until then it writes nothing."""
    async with backend.store() as other, open_database(backend.url) as its_database:
        first = Projector(store, store, database, [TasksProjection()])
        second = Projector(other, other, its_database, [TasksProjection()])
        async with running(first) as leading:
            await fill(store, 2, seed=16)
            await caught_up(store, database)
            async with running(second):
                await fill(store, 2, seed=17)
                await caught_up(store, database)
                assert second.position == 0
                leading.cancel()
                await asyncio.wait([leading])
                await fill(store, 2, seed=18)
                await caught_up(store, database)
                assert second.position == await store.position()
    assert len((await listing(database)).tasks) == 6


async def test_two_that_both_believe_to_lead_write_each_event_once(store, database, backend):
    """A leader that has not noticed yet that it is deposed does no harm."""
    await fill(store, 30, seed=19)
    await project(store, database)
    expected = await tables(database)
    await drop(database)
    log = await store.read(0, 10_000)
    tasks = TasksProjection()
    async with open_database(backend.url) as its_database:
        rivals = [
            Projector(store, store, database, [tasks]),
            Projector(store, store, its_database, [tasks]),
        ]

        async def drive(projector: Projector, size: int) -> None:
            for n in range(0, len(log), size):
                assert await projector._apply(tasks, log[n : n + size])

        await asyncio.gather(drive(rivals[0], 7), drive(rivals[1], 11))
    assert await tables(database) == expected


async def test_an_outage_is_waited_out(postgres):
    """PostgreSQL restarts under the projector: it loses its leadership and goes on by itself."""
    backend = Backend(postgres.create_database(), postgres)
    async with backend.store() as store, open_database(backend.url) as database:
        projector = Projector(store, store, database, [TasksProjection()])
        async with running(projector) as run:
            await fill(store, 5, seed=20)
            await caught_up(store, database)
            await asyncio.to_thread(postgres.restart, crash=True)
            await fill(store, 5, seed=21)
            await caught_up(store, database)
            assert not run.done()
            await projector.ready()
            assert len((await listing(database)).tasks) == 10
            before = await tables(database)
        await drop(database)
        await project(store, database)
        assert await tables(database) == before


async def test_a_locked_file_is_waited_out(tmp_path, monkeypatch, caplog):
    """Somebody's open transaction on the SQLite file delays the projector, and stops nothing."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    async with (
        backend.store() as store,
        open_database(backend.url) as database,
        open_database(backend.url) as somebodys,
    ):
        projector = Projector(store, store, database, [TasksProjection()])
        async with running(projector):
            await fill(store, 2, seed=22)
            await caught_up(store, database)

            async with somebodys.transaction():
                await fill(store, 2, seed=23)
                await until(lambda: "cannot be reached" in caplog.text, "it is kept waiting")
            await caught_up(store, database)
            await projector.ready()
        assert len((await listing(database)).tasks) == 4


async def test_the_read_models_of_sqlite_lie_beside_the_store(tmp_path):
    """In a file of their own, so that projecting does not hold up an append."""
    async with open_database(f"sqlite:///{tmp_path / 'data' / 'tts.db'}"):
        assert (tmp_path / "data" / "tts.read.db").exists()
        assert not (tmp_path / "data" / "tts.db").exists()
