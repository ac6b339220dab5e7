"""The event store's promises about appending and reading, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from random import Random
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import StoredEvent

from projections.database import open_database
from tests.histories import live, new_task, stored
from tests.services.stores import Backend, Store
from tests.waiting import SECONDS
from tts.domain.task import Task
from tts.ports.errors import Conflict
from tts.ports.log import Payload
from tts.store import sqlite_file

SAID = Payload("你好", "开心地", "salt")


class Plain(Application[UUID]):
    """On PostgreSQL the library names the table after the application: ``stored_events``."""

    name = "stored"


def event(task_id: UUID, version: int, **state) -> StoredEvent:
    return StoredEvent(task_id, version, "tts.task.queued", orjson.dumps(state))


def some(task_id: UUID, *versions: int, **state) -> list[StoredEvent]:
    return [event(task_id, version, **state) for version in versions]


async def versions(store: Store, task_id: UUID) -> list[int]:
    return [recorded.version for recorded in await store.events(task_id)]


async def results(*appends) -> list[int | BaseException]:
    return await asyncio.gather(*appends, return_exceptions=True)


# --- appending


async def test_concurrent_appends_to_different_tasks_all_land(store):
    """Each caller gets the position at which its own last event stands."""
    tasks = [uuid4() for _ in range(1200)]  # more than one batch
    positions = await asyncio.gather(*(store.append(some(task, 1, 2)) for task in tasks))
    log = await store.read(0, 5000)
    assert len(log) == 2400
    assert {(r.task_id, r.position) for r in log if r.version == 2} == set(
        zip(tasks, positions, strict=True)
    )


async def test_one_of_many_appends_to_the_same_task_wins(backend):
    """Whether they come from one process or two, the others get a conflict."""
    task = uuid4()
    async with backend.store() as one, backend.store() as other:
        outcome = await results(
            *(store.append(some(task, 1, n=n)) for n, store in enumerate([one, other] * 10))
        )
        winners = [r for r in outcome if isinstance(r, int)]
        assert len(winners) == 1
        assert sum(isinstance(r, Conflict) for r in outcome) == 19
        assert [r.position for r in await one.events(task)] == winners


@pytest.mark.parametrize(
    ("there", "asked"),
    [([1], [1, 2]), ([1, 2], [2, 3]), ([1], [3]), ([], [2]), ([1, 2, 3], [2])],
    ids=str,
)
@pytest.mark.parametrize("companions", [0, 3])
async def test_an_append_lands_whole_or_not_at_all(store, there, asked, companions):
    """Its first event must follow the task's newest, or none lands; a history has no holes.

    Nobody else's in the same batch suffers for it.
    """
    task = uuid4()
    if there:
        await store.append(some(task, *there, by="somebody else"))
    others = [uuid4() for _ in range(companions)]
    conflict, *positions = await results(
        store.append(some(task, *asked), SAID), *(store.append(some(o, 1), SAID) for o in others)
    )
    assert isinstance(conflict, Conflict)
    assert await versions(store, task) == there
    assert await store.payload(task) is None
    assert [(await store.events(o))[0].position for o in others] == positions
    for other in others:
        assert await store.payload(other) == SAID


@pytest.mark.parametrize("text", ["\ud800", "\0"], ids=["half a surrogate pair", "NUL"])
async def test_an_append_that_cannot_be_stored_fails_alone(backend, text):
    """What came with it in the same batch lands, and the next one too."""
    if backend.is_sqlite and text == "\0":
        text = "\udfff"  # SQLite has no quarrel with NUL
    bad, good = uuid4(), [uuid4() for _ in range(4)]
    async with backend.store() as store:
        outcome = await results(
            *(store.append(some(task, 1), SAID) for task in good[:2]),
            store.append(some(bad, 1), Payload(text, "", "")),
            *(store.append(some(task, 1), SAID) for task in good[2:]),
        )
        assert isinstance(outcome.pop(2), Exception)
        assert all(isinstance(position, int) for position in outcome)
        assert await store.events(bad) == []
        for task in good:
            assert await versions(store, task) == [1]
            assert await store.payload(task) == SAID
        assert await store.append(some(bad, 1), SAID) > 0


async def test_a_conflict_costs_the_others_no_second_commit(postgres):
    """A claim that brings its own Queued meets the relay's all day long: nothing is rolled back."""
    backend = Backend(postgres.create_database(), postgres)
    async with backend.store() as store, backend.store() as other:
        tasks = [uuid4() for _ in range(10)]
        await results(*(store.append(some(task, 1)) for task in tasks))
        outcome = await results(
            *(store.append(some(task, 2, by="relay")) for task in tasks),
            *(other.append(some(task, 2, 3, by="processor")) for task in tasks),
        )
        assert sum(isinstance(result, Conflict) for result in outcome) == 10
    rolled_back = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    assert backend.sql(rolled_back) == [(0,)]


async def test_a_repetition_is_no_conflict(store):
    """A reply can be lost with its connection; asking again for the same answers the same."""
    task, companion = uuid4(), uuid4()
    position = await store.append(some(task, 1, 2), SAID)
    again, other = await asyncio.gather(
        store.append(some(task, 1, 2), SAID), store.append(some(companion, 1))
    )
    assert again == position
    assert other > position
    assert await versions(store, task) == [1, 2]


async def test_a_caller_that_went_away_does_not_hinder_the_others(store):
    """A request that is canceled between append and reply leaves a whole append, or none."""
    tasks = [uuid4() for _ in range(20)]
    appends = [asyncio.create_task(store.append(some(task, 1, 2))) for task in tasks]
    await asyncio.sleep(0)
    for append in appends[::2]:
        append.cancel()
    outcome = await results(*appends)
    assert all(isinstance(r, asyncio.CancelledError) for r in outcome[::2])
    assert all(isinstance(r, int) for r in outcome[1::2])
    await store.append(some(uuid4(), 1))
    for task in tasks:
        assert await versions(store, task) in ([], [1, 2])


@pytest.mark.parametrize("what", ["erase", "save_checkpoint", "append"])
async def test_a_canceled_write_is_in_nobodys_way(store, what):
    """Its client went away, or the service ends: wherever it was, the next one gets through."""
    writes = {
        "erase": lambda: store.erase(uuid4()),
        "save_checkpoint": lambda: store.save_checkpoint("relay", 1),
        "append": lambda: store.append(some(uuid4(), 1)),
    }
    for steps in range(12):
        task = uuid4()
        write = asyncio.ensure_future(writes[what]())
        waiting = asyncio.ensure_future(writes[what]())
        for _ in range(steps):
            await asyncio.sleep(0)
        write.cancel()
        waiting.cancel()
        async with asyncio.timeout(SECONDS):
            await store.append(some(task, 1))
        assert await versions(store, task) == [1]


# --- the payload


async def test_the_payload_goes_with_the_first_event(store):
    """It is there as soon as the append returned."""
    task = uuid4()
    await store.append(some(task, 1), SAID)
    assert await store.payload(task) == SAID
    assert await store.payload(uuid4()) is None


async def test_a_task_is_read_whole_at_once(store):
    """What was said has gone when it was erased; of no task there is nothing."""
    task, silent = uuid4(), uuid4()
    await store.append(some(task, 1), SAID)
    await store.append(some(task, 2, 3))
    await store.append(some(silent, 1))
    assert await store.whole(task) == (await store.events(task), SAID)
    assert await store.whole(silent) == (await store.events(silent), None)
    assert await store.whole(uuid4()) == ([], None)
    await store.erase(task)
    assert await store.whole(task) == (await store.events(task), None)


async def test_a_conflicting_request_changes_nothing_that_was_said(store):
    """The second use of an idempotency key must not overwrite the first one's text."""
    task = uuid4()
    await store.append(some(task, 1, n=1), SAID)
    with pytest.raises(Conflict):
        await store.append(some(task, 1, n=2), Payload("别的", "", "other"))
    assert await store.payload(task) == SAID


async def test_an_erased_payload_is_gone_and_the_events_stay(store):
    """Only that task's; erasing it again, or nothing at all, is fine."""
    task, other = uuid4(), uuid4()
    for each in (task, other):
        await store.append(some(each, 1), SAID)
    for each in (task, task, uuid4()):
        await store.erase(each)
    assert await store.payload(task) is None
    assert await store.payload(other) == SAID
    assert await versions(store, task) == [1]


async def test_an_erased_text_is_in_no_file(tmp_path):
    """Nor are old copies of its page, whatever was written around it and whoever reads."""
    marks = [uuid4().hex for _ in range(300)]
    tasks = [uuid4() for _ in marks]
    backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")

    def left() -> set[str]:
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return {mark for mark in marks if mark.encode() in files}

    async with backend.store() as store, backend.store() as other:
        for n in range(0, len(marks), 10):
            some_of = zip(tasks[n : n + 10], marks[n : n + 10], strict=True)
            said = [(t, Payload(m * (1 + n % 7), m, m)) for t, m in some_of]
            await asyncio.gather(*(store.append(some(t, 1), p) for t, p in said))
        assert left() == set(marks)
        gone = set(range(0, len(marks), 3))
        for n in gone:
            reading, _ = await asyncio.gather(other.read(0, 1000), store.erase(tasks[n]))
            assert len(reading) == len(marks)
        assert left() == {mark for n, mark in enumerate(marks) if n not in gone}


# --- reading


async def test_an_empty_log_has_position_zero(store):
    """And nothing to read."""
    assert await store.position() == 0
    assert await store.read(0, 10) == []
    assert await store.events(uuid4()) == []
    await store.ready()


async def test_a_read_goes_on_behind_a_position(store):
    """Ascending, bounded, and to the end."""
    tasks = [uuid4() for _ in range(10)]
    for task in tasks:
        await store.append(some(task, 1))
    first = await store.read(0, 4)
    rest = await store.read(first[-1].position, 100)
    assert [r.task_id for r in first + rest] == tasks
    assert await store.position() == rest[-1].position


async def test_state_comes_back_as_it_was_stored(store):
    """Byte for byte, so that streams can pass it on."""
    task = uuid4()
    state = '{"text": "你好 \\u0000", "n":1.50}'.encode()
    await store.append([StoredEvent(task, 1, "topic", state)])
    (recorded,) = await store.events(task)
    assert (recorded.state, recorded.topic, recorded.task_id) == (state, "topic", task)


# --- who else uses the database


async def test_many_open_a_new_database_at_once(backend):
    """Making the tables, and switching a new file to WAL, are no race."""
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(backend.store()) for _ in range(12)]
        reading = [stack.enter_async_context(open_database(backend.url)) for _ in range(12)]
        stores = (await asyncio.gather(*opening, *reading))[:12]
        await asyncio.gather(*(store.append(some(uuid4(), 1)) for store in stores))
        assert len(await stores[0].read(0, 100)) == 12


def test_a_collision_while_a_file_is_made_is_waited_out():
    """SQLite refuses at once there, whatever its timeout."""
    answers = [sqlite3.OperationalError("database is locked")] * 2 + [None]

    class Colliding:
        def execute(self, _: str) -> None:
            if (answer := answers.pop(0)) is not None:
                raise answer

    sqlite_file._switch_to_wal(Colliding())
    assert answers == []


async def test_a_plain_eventsourcing_application_reads_and_saves(backend):
    """The library's own application sees every task as we do, and our tailer sees what it saves."""
    random = Random(1)
    tasks = [live(new_task(random), random, steps=20) for _ in range(20)]
    async with backend.store() as store:
        for task in tasks:
            await store.append(stored(task), SAID)
        follower = store.follow(await store.position())

        def plainly() -> tuple[list[Task], Task]:
            application = Plain(env=backend.environment())
            try:
                seen = [application.repository.get(task.id) for task in tasks]
                saved = new_task(random, template_id="plain")
                application.save(saved)
            finally:
                application.close()
            return seen, saved

        seen, saved = await asyncio.to_thread(plainly)
        assert seen == tasks
        async with asyncio.timeout(SECONDS):
            (recorded,) = await anext(follower)
        assert (recorded.task_id, recorded.version) == (saved.id, 1)
        with pytest.raises(Conflict):
            await store.append(some(saved.id, 1))


async def test_people_read_the_log_with_sql(backend):
    """``task_log`` shows each event's state as JSON."""
    task = uuid4()
    async with backend.store() as store:
        await store.append(
            [
                StoredEvent(task, 1, "tts.task.queued", orjson.dumps({"attempt": 3})),
                StoredEvent(task, 2, "tts.task.failed", orjson.dumps({"message": "断\0"})),
            ]
        )
    rows = backend.sql(
        "SELECT position, version, topic, state ->> 'attempt' FROM task_log ORDER BY position"
    )
    assert [(version, topic, str(attempt)) for _, version, topic, attempt in rows] == [
        (1, "tts.task.queued", "3"),
        (2, "tts.task.failed", "None"),
    ]
    assert len(backend.sql("SELECT state FROM task_log")) == 2


async def test_an_append_that_returned_is_on_disk(store, backend):
    """The settings that make a commit wait for the disk are really in force on the writer."""
    await store.append(some(uuid4(), 1))
    if backend.is_sqlite:
        writer = store._connections._writer
        (synchronous,) = writer.execute("PRAGMA synchronous").fetchone()
        (journal,) = writer.execute("PRAGMA journal_mode").fetchone()
        assert (synchronous, journal) == (2, "wal")
    else:
        cursor = await store._writer.execute("SHOW synchronous_commit")
        assert await cursor.fetchone() == ("on",)
