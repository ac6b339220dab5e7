"""The relay over a real store: everything that the log orders is published, whoever dies."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from tts.application import Application
from tts.domain import Status, TaskError
from tts.ports import Destination, Unavailable
from tts.relay import Relay
from tts.wire import UPDATES

SECONDS = 20


class Broker:
    """Keeps what it was given; it can be away, and it can be slow to say that it has it."""

    def __init__(self) -> None:
        self.messages = []
        self.away = False
        self.refused = 0

    async def publish(self, message) -> None:
        """Take it, or say that we are away."""
        if self.away:
            self.refused += 1
            raise Unavailable("the broker is away")
        self.messages.append(message)

    def tasks(self, destination=Destination.WORK):
        """The ids of the tasks that were sent there, in order."""
        return [m.task_id for m in self.messages if m.destination is destination]


def application(store) -> Application:
    return Application(store, max_attempts=3, deadline_seconds=600)


@contextlib.asynccontextmanager
async def relaying(store, broker, *, durable=True):
    relay = Relay(application(store), store, store, broker, durable_queue=durable)
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(condition) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():
            await asyncio.sleep(0.01)


async def statuses(store, task_id) -> list[str]:
    return [UPDATES[event.topic][0].value for event in await store.events(task_id)]


async def requested(store, count):
    app = application(store)
    return [(await app.request(template_id="t", text=str(n)))[0].id for n in range(count)]


async def test_every_request_is_published_once_and_marked_queued(backend):
    """The mark comes after the broker's confirm."""
    broker = Broker()
    async with backend.store() as store, relaying(store, broker):
        tasks = await requested(store, 20)

        async def all_marked() -> bool:
            return all([await statuses(store, t) == ["starting", "queued"] for t in tasks])

        await until(all_marked)
    assert broker.tasks() == tasks


async def test_a_crash_before_the_checkpoint_publishes_again_and_marks_nothing_twice(backend):
    """A duplicate can be recognised; a loss could not."""
    first, second = Broker(), Broker()
    async with backend.store() as store:
        (task,) = await requested(store, 1)
        async with backend.store() as dying, relaying(dying, first) as relay:
            await until(lambda: _is(lambda: first.tasks() == [task]))
            relay._coordination = _Forgetful(dying)  # it dies before it could remember
        assert await store.checkpoint("relay") == 0
        async with relaying(store, second):
            await until(lambda: _is(lambda: second.tasks() == [task]))
            await until(lambda: _queued(store, task))
        assert await statuses(store, task) == ["starting", "queued"]


async def test_a_restarted_relay_goes_on_where_it_stopped(backend):
    """What was checkpointed is not published again."""
    broker = Broker()
    async with backend.store() as store:
        before = await requested(store, 3)
        async with relaying(store, broker):
            await until(lambda: _is(lambda: len(broker.messages) == 3))
            await until(lambda: _queued(store, before[-1]))
        after = await requested(store, 3)
        async with relaying(store, broker):
            await until(lambda: _is(lambda: len(broker.messages) == 6))
    assert broker.tasks() == before + after


async def test_one_relay_leads_and_the_next_one_takes_over(backend):
    """Two run, one publishes; when it ends the other goes on without a gap."""
    leader, standby = Broker(), Broker()
    async with backend.store() as store, backend.store() as other:
        async with relaying(store, leader):
            first = await requested(store, 1)
            await until(lambda: _is(lambda: leader.tasks() == first))
            waiting = relaying(other, standby)
            await waiting.__aenter__()
            second = await requested(store, 1)
            await until(lambda: _is(lambda: leader.tasks() == first + second))
            assert standby.messages == []
        third = await requested(other, 1)
        await until(lambda: _is(lambda: third[0] in standby.tasks()))
        await waiting.__aexit__(None, None, None)


async def test_a_broker_that_is_away_is_waited_for(backend):
    """Nothing is lost, and nothing is marked that the broker has not got."""
    broker = Broker()
    broker.away = True
    async with backend.store() as store, relaying(store, broker):
        (task,) = await requested(store, 1)
        await until(lambda: _is(lambda: broker.refused >= 3))
        assert await statuses(store, task) == ["starting"]
        broker.away = False
        await until(lambda: _queued(store, task))
    assert broker.tasks() == [task]


async def test_a_queue_that_was_lost_is_rebuilt_from_the_log(backend):
    """Each unfinished task gets one message, a waiting one with the time that is left."""
    async with backend.store() as store:
        app = application(store)
        fresh, running, waiting, over = await requested(store, 4)
        now = datetime.now(UTC)
        await app.change(running, lambda task: task.claim(worker="w", now=now))
        await app.change(waiting, lambda task: task.claim(worker="w", now=now))
        await app.change(
            waiting,
            lambda task: task.schedule_retry(
                lease=1,
                error=TaskError("code", "poll", "message"),
                attempt=2,
                delay=60,
                due_at=now + timedelta(seconds=60),
                abandoned=[],
                settled=[],
                now=now,
            ),
        )
        await app.cancel(over, by="me", reason="")
        broker = Broker()
        async with relaying(store, broker, durable=False):
            await until(lambda: _is(lambda: len(broker.messages) >= 3))
            await until(lambda: _queued(store, fresh))
        assert set(broker.tasks()) == {fresh, running}
        (retry,) = [m for m in broker.messages if m.destination is Destination.RETRY]
        assert (retry.task_id, retry.attempt) == (waiting, 2)
        assert 55 <= retry.delay <= 65
        task, position = await app.load(running)
        assert task.status is Status.DEQUEUED
        # Younger than the claim: the processor must not take it for a duplicate.
        assert [m.position for m in broker.messages if m.task_id == running] == [position]


class _Forgetful:
    def __init__(self, store) -> None:
        self.leadership = store.leadership
        self.checkpoint = store.checkpoint

    async def save_checkpoint(self, name, position) -> None:
        """Lose it."""


async def _is(condition) -> bool:
    return condition()


async def _queued(store, task_id) -> bool:
    return "queued" in await statuses(store, task_id)


@pytest.fixture(autouse=True)
def no_early_checkpoint(monkeypatch):
    """Checkpoints are saved at the end of a leadership alone, where the tests decide."""
    monkeypatch.setattr("tts.relay.CHECKPOINT_SECONDS", 3600)
