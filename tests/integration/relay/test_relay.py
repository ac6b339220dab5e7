"""The relay over a real store: everything that the log orders is published, whoever dies."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.integration.relay.relay_under_test import (
    Broker,
    application,
    queued,
    relaying,
    requested,
    statuses,
)
from tests.waiting import until
from tts.domain.values import RetryLater, Status, TaskError
from tts.ports.queue import Destination


async def never(*_args, **_kwargs):
    """Nothing that comes after it is ever done."""
    await asyncio.Event().wait()


async def test_every_request_is_published_once_and_marked_queued(backend):
    """The mark comes after the broker's confirm."""
    broker = Broker()
    async with backend.store() as store, relaying(store, broker):
        tasks = await requested(store, 20)

        async def all_marked() -> bool:
            return all([await statuses(store, t) == ["starting", "queued"] for t in tasks])

        await until(all_marked)
    assert broker.tasks() == tasks


async def test_a_crash_before_the_mark_publishes_again_and_marks_once(backend):
    """A duplicate can be recognised; a loss could not."""
    first, second = Broker(), Broker()
    async with backend.store() as store:
        async with backend.store() as dying, relaying(dying, first) as relay:
            relay._application.mark_queued = never  # it dies there
            (task,) = await requested(store, 1)
            await until(lambda: first.tasks() == [task])
        assert await statuses(store, task) == ["starting"]
        async with relaying(store, second):
            await until(lambda: second.tasks() == [task])
            await until(lambda: queued(store, task))
        assert await statuses(store, task) == ["starting", "queued"]


async def test_a_restarted_relay_goes_on_where_it_stopped(backend):
    """What was checkpointed is not published again."""
    broker = Broker()
    async with backend.store() as store:
        before = await requested(store, 3)
        async with relaying(store, broker):
            await until(lambda: len(broker.messages) == 3)
            await until(lambda: queued(store, before[-1]))
        after = await requested(store, 3)
        async with relaying(store, broker):
            await until(lambda: len(broker.messages) == 6)
    assert broker.tasks() == before + after


async def test_one_relay_leads_and_the_next_one_takes_over(backend):
    """Two run, one publishes; when it ends the other goes on without a gap."""
    leader, standby = Broker(), Broker()
    async with backend.store() as store, backend.store() as other:
        async with relaying(store, leader):
            first = await requested(store, 1)
            await until(lambda: leader.tasks() == first)
            waiting = relaying(other, standby)
            await waiting.__aenter__()
            second = await requested(store, 1)
            await until(lambda: leader.tasks() == first + second)
            assert standby.messages == []
        third = await requested(other, 1)
        await until(lambda: third[0] in standby.tasks())
        await waiting.__aexit__(None, None, None)


async def test_a_broker_that_is_away_is_waited_for(backend):
    """Nothing is lost, and nothing is marked that the broker has not got."""
    broker = Broker()
    broker.away = True
    async with backend.store() as store, relaying(store, broker):
        (task,) = await requested(store, 1)
        await until(lambda: broker.refused >= 3)
        assert await statuses(store, task) == ["starting"]
        broker.away = False
        await until(lambda: queued(store, task))
    assert broker.tasks() == [task]


async def test_a_queue_that_was_lost_is_rebuilt_from_the_log(store):
    """Each unfinished task gets one message, a waiting one with the time that is left."""
    app = application(store)
    fresh, running, waiting, over = await requested(store, 4)
    now = datetime.now(UTC)
    await app.change(running, lambda task: task.claim(worker="w", now=now))
    await app.change(waiting, lambda task: task.claim(worker="w", now=now))
    later = RetryLater(TaskError("code", "poll", "message"), attempt=2, delay=3600)
    await app.change(waiting, lambda task: task.schedule_retry(1, later, now=now))
    await app.cancel(over, by="me", reason="")
    broker = Broker(marked=False)
    async with relaying(store, broker):
        await until(lambda: len(broker.messages) >= 3)
        await until(lambda: queued(store, fresh))
    assert set(broker.tasks()) == {fresh, running}
    (retry,) = [m for m in broker.messages if m.destination is Destination.RETRY]
    assert (retry.task_id, retry.attempt) == (waiting, 2)
    assert 3000 < retry.delay < 5000  # what is left, on the grid of delays
    task, position = await app.load(running)
    assert task.status is Status.DEQUEUED
    # Younger than the claim: the processor must not take it for a duplicate.
    assert [m.position for m in broker.messages if m.task_id == running] == [position]


@pytest.fixture(autouse=True)
def no_early_checkpoint(monkeypatch):
    """Checkpoints are saved at the end of a leadership alone, where the tests decide."""
    monkeypatch.setattr("tts.relay.relay.CHECKPOINT_SECONDS", 3600)
