"""What the read model of tasks promises, in both databases."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from projections import task_queries
from projections.ports import Database
from projections.task_queries import TaskPage, TaskQueries, _changed, _Walk
from tests.builders import application, fail
from tests.histories import START, live, new_task, stored
from tests.read_models import project
from tests.services.stores import Store
from tts.application.task_list import TaskSelection
from tts.domain.task import Task
from tts.domain.values import FINAL, Status
from tts.ports.errors import BadCursor
from tts.wire import task_answer


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


async def listing(database: Database, *, limit: int = 1000, cursor=None, **filters) -> TaskPage:
    selection = TaskSelection(**{"owner": ""} | filters)
    return await TaskQueries(database).page(selection, cursor=cursor, limit=limit)


# --- the rows


NOT_IN_LISTS = (
    "ttsText",
    "instruction",
    "maxAttempts",
    "priority",
    "format",
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


async def test_a_message_from_elsewhere_stops_no_read_model(store, database):
    """Not even with a character that PostgreSQL does not store."""
    task = new_task(Random(31))
    fail(task, message="bad\0 output")
    await store.append(stored(task))
    await project(store, database)
    assert (await listing(database)).tasks[0]["error"] == "bad\ufffd output"


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


# --- what a page costs


RARE = "rare"
OF_AN_INDEX = [
    {},
    {"status": "failed"},
    {"status": "queued", "owner": "ann"},
    {"template_id": RARE},
    {"template_id": RARE, "owner": "ann"},
    {"code": "network"},
    {"owner": "ann", "since": START, "until": START + timedelta(days=1)},
    {"status": "processing"},
    {"status": "succeeded", "template_id": RARE, "owner": "ann"},
    {"status": "failed", "template_id": RARE, "code": "network", "owner": "ann"},
    {"id_prefix": "0198c0de"},
]


@pytest.mark.parametrize("filters", OF_AN_INDEX, ids=lambda each: "+".join(each) or "none")
async def test_a_page_is_found_by_an_index(database, backend, filters):
    """No filter has the database look at every task, nor sort them."""
    await crowd(database, backend)
    sql, params = _Walk(PLACE, TaskSelection(**filters), ("10001000", "10001000")).rows(50)
    plan = await planned(database, backend, sql, params)
    sorts = [step for step in plan if ("TEMP B-TREE" if backend.is_sqlite else "Sort  (") in step]
    # What was looked at in the order of its index is put in order once more: a page of it.
    assert len(sorts) <= (1 if "FROM (" in sql else 0), "\n".join(plan)


async def test_what_has_changed_is_found_by_an_index(database, backend):
    """However many tasks its owner has had: a stream that is resumed asks for it."""
    await crowd(database, backend)
    await planned(database, backend, *_changed(PLACE, "ann", 2990, 100))


async def test_what_has_changed_is_all_that_happened_since(store, database):
    """To tasks that go on, are over, were asked for again or erased; and nobody else's."""
    theirs = await fill(store, 30, seed=44, owner="bob")
    tasks = await fill(store, 60, seed=43, owner="ann") + theirs
    over = next(task.id for task in tasks if task.status in FINAL)
    await application(store).change(over, lambda task: task.erase(by="ann", now=START))
    await project(store, database)
    owners = {task.id: task.owner for task in tasks}
    events = await store.read(0, 10_000)
    assert Task.RetryRequested.TOPIC in {event.topic for event in events}
    for after in range(0, len(events) + 1, 50):
        changed = await TaskQueries(database).changed("ann", after, 1000)
        since = {event.task_id for event in events if event.position > after}
        assert sorted(changed.task_ids) == sorted(t for t in since if owners[t] == "ann")


async def test_rows_of_an_older_version_do_not_say_what_has_changed(store, database):
    """Such rows know less, and a stream that trusted them would have a gap."""
    await fill(store, 5, seed=45, owner="ann")
    await project(store, database)
    assert (await TaskQueries(database).changed("ann", 0, 100)).position > 0
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE read_models SET version = version - 1")
    assert (await TaskQueries(database).changed("ann", 0, 100)).position == 0


PLACE = "read_tasks_1"


async def crowd(database, backend) -> None:
    """Three thousand tasks of one owner, all of them over."""
    async with database.transaction() as transaction:
        await transaction.execute(
            f"INSERT INTO {PLACE} WITH RECURSIVE n(i) AS "  # noqa: S608 -- a name from above
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
            "SELECT CAST(10000000 + i AS text), 'ann', 't', CAST(10000000 + i AS text), "
            "'succeeded', 'succeeded', 1, NULL, NULL, NULL, NULL, 1, 1.0, 'x', 'x', NULL, i, i "
            "FROM n"
        )
        if not backend.is_sqlite:
            await transaction.execute(f"ANALYZE {PLACE}")


async def planned(database, backend, sql, params) -> list[str]:
    """How the database goes about it: it does not look at every task."""
    explain = "EXPLAIN QUERY PLAN " if backend.is_sqlite else "EXPLAIN "
    plan = [str(row[-1]) for row in await database.fetch(explain + sql, params)]
    if backend.is_sqlite:
        scans = [
            step for step in plan if step.startswith("SCAN read_tasks") and "INDEX" not in step
        ]
    else:
        scans = [step for step in plan if f"Seq Scan on {PLACE}" in step]
    assert not scans, "\n".join(plan)
    return plan


async def test_a_page_looks_at_so_many_rows_and_goes_on(store, database, monkeypatch):
    """What no index finds is found in the end, page by page, each task once."""
    tasks = await fill(store, 40, seed=41)
    await project(store, database)
    monkeypatch.setattr(task_queries, "LOOKED_AT_MAX", 7)
    wanted = {str(t.id) for t in tasks if t.status is Status.FAILED and t.template_id == "t1"}
    assert wanted
    seen, cursor, pages = [], None, 0
    while True:
        page = await listing(database, status="failed", template_id="t1", cursor=cursor, limit=3)
        seen += [task["taskId"] for task in page.tasks]
        pages += 1
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(seen) == sorted(wanted)
    assert pages <= 40 / 3 + 1


async def test_ids_are_found_by_how_they_begin(store, database):
    """With the other filters, newest first."""
    tasks = await fill(store, 10, seed=42)
    await project(store, database)
    for task in tasks[:3]:
        page = await listing(database, id_prefix=str(task.id)[:8])
        assert [row["taskId"] for row in page.tasks] == [str(task.id)]
        assert (await listing(database, id_prefix=str(task.id)[:8], owner="bob")).tasks == []


async def test_codes_and_ends_narrow_the_list(store, database):
    """A code is that of the newest failure; ``until`` is not in."""
    tasks = await fill(store, 30, seed=43)
    await project(store, database)
    failed = {str(t.id) for t in tasks if t.error is not None}
    assert failed
    page = await listing(database, code="network")
    assert {row["taskId"] for row in page.tasks} == failed
    middle = tasks[15].created_on
    page = await listing(database, until=middle)
    assert {row["taskId"] for row in page.tasks} == {str(t.id) for t in tasks[:15]}
