"""The table of callbacks, on either database."""

from dataclasses import replace
from uuid import uuid4

import pytest

from tts.bootstrap import callback_rows_of
from tts.ports.callbacks import Callback, CallbackState

HOOK = "https://App.example.com:8443/hook?secret=1"
FAILED = CallbackState.FAILED


@pytest.fixture
async def table(backend):
    async with backend.store() as store:
        rows = callback_rows_of(store)
        yield rows
        await rows.aclose()


def callback(began: float = 100.0, *, url: str = HOOK, version: int = 9) -> Callback:
    return Callback(uuid4(), version, url, began=began, due=began, updated=began)


async def test_what_is_due_comes_in_its_order(table):
    """And nothing before its time; who is added twice stays as it was."""
    late, early = callback(200.5), callback(100.25)
    await table.add([late, early])
    await table.save(replace(early, attempts=3))
    await table.add([early])
    assert await table.due(200, 10, without=()) == [replace(early, attempts=3)]
    assert await table.due(300, 10, without=()) == [replace(early, attempts=3), late]
    assert await table.due(300, 1, without=()) == [replace(early, attempts=3)]
    assert await table.next_due(150) == 200.5
    assert await table.next_due(200.5) is None


async def test_many_are_added_at_once(table):
    """More than one statement takes."""
    await table.add([callback(float(n)) for n in range(120)])
    assert await table.counts() == {CallbackState.PENDING: 120}


async def test_a_host_can_be_left_out(table):
    """By its name and port, whatever the case in which they were written."""
    here, there = callback(1), callback(2, url="https://other.example.com/hook")
    await table.add([here, there])
    assert await table.due(9, 9, without={"app.example.com:8443"}) == [there]
    assert await table.due(9, 9, without={"app.example.com:8443", "other.example.com"}) == []


async def test_what_is_over_is_not_due(table):
    """It can be looked at, and asked for again with a fresh count."""
    ended = callback(1)
    await table.add([ended])
    given_up = replace(ended, state=FAILED, attempts=9, due=None, updated=50.0, problem="no")
    await table.save(given_up)
    assert await table.due(99, 9, without=()) == []
    assert await table.newest(ended.task_id) == given_up
    assert await table.counts() == {FAILED: 1}
    assert await table.replay(None, 60.0) == 1
    again = replace(given_up, state=CallbackState.PENDING, attempts=0, due=60.0, began=60.0)
    assert await table.due(60, 9, without=()) == [replace(again, updated=60.0)]
    assert await table.replay(None, 61.0) == 0


async def test_tasks_are_replayed_by_name(table):
    """Delivered ones, too."""
    one, other = callback(1), callback(2)
    await table.add([one, other])
    for each in (one, other):
        delivered = replace(each, state=CallbackState.DELIVERED, due=None)
        await table.save(delivered)
    assert await table.replay([one.task_id, uuid4()], 5.0) == 1
    assert [each.task_id for each in await table.due(9, 9, without=())] == [one.task_id]
    assert await table.replay([], 5.0) == 0


async def test_the_newest_end_is_the_one_that_counts(table):
    """A task that was retried has ended twice."""
    first = callback(1, version=7)
    second = replace(first, version=15)
    await table.add([second, first])
    assert await table.newest(first.task_id) == second
    assert await table.newest(uuid4()) is None


async def test_the_newest_are_listed_first(table):
    """By state, or all."""
    callbacks = [replace(callback(n), updated=float(n)) for n in range(5)]
    await table.add(callbacks)
    await table.save(replace(callbacks[1], state=FAILED, due=None))
    pending = await table.newest_first(CallbackState.PENDING, 3)
    assert [each.updated for each in pending] == [4, 3, 2]
    assert [each.updated for each in await table.newest_first(FAILED, 9)] == [1]
    assert len(await table.newest_first(None, 99)) == 5


async def test_who_is_forgotten_or_long_over_is_gone(table):
    """What is pending is never too old."""
    old, young, pending, erased = (callback(n) for n in range(1, 5))
    await table.add([old, young, pending, erased])
    await table.save(replace(old, state=FAILED, due=None, updated=10.0))
    await table.save(replace(young, state=FAILED, due=None, updated=20.0))
    await table.forget([erased.task_id])
    await table.prune(15.0)
    left = {each.task_id for each in await table.newest_first(None, 9)}
    assert left == {young.task_id, pending.task_id}
    await table.save(replace(erased, attempts=1))
    assert await table.newest(erased.task_id) is None
