"""Messages that were lost come again, whoever lost them; tasks that are well are left alone."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.integration.relay.relay_under_test import (
    Broker,
    application,
    queued,
    relaying,
    requested,
)
from tests.waiting import SECONDS, until
from tts.domain.task import Task
from tts.domain.values import RetryLater, TaskError
from tts.ports.errors import Unavailable
from tts.ports.queue import Destination
from tts.queue.rabbitmq import RabbitMQ

PATIENCE = 0.4


class Losing(Broker):
    """A broker whose queues look empty: whatever it confirmed is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.in_queue = dict.fromkeys(Destination, 0)

    def sent(self, task_id) -> list:
        """Where messages of the task went."""
        return [m.destination for m in self.messages if m.task_id == task_id]


async def claim(app, task_id, **changes) -> None:
    """A worker takes the task, and that is the last that is heard of it."""
    now = datetime.now(UTC)
    await app.change(task_id, lambda task: task.claim(worker="dead", now=now, **changes))


async def fall_back(app, task_id, *, due_in: float) -> None:
    """The attempt fails, and the next one is due in so many seconds."""
    now = datetime.now(UTC)

    def schedule(task: Task) -> None:
        later = RetryLater(TaskError("code", "poll", "message"), attempt=2, delay=due_in)
        task.schedule_retry(task.lease, later, now=now)

    await app.change(task_id, schedule)


async def in_every_state(app, store) -> list:
    """A task that is queued, one claimed, one that waits for its retry, and one canceling."""
    fresh, claimed, waiting, canceling = await requested(store, 4)
    for task_id in (claimed, waiting, canceling):
        await claim(app, task_id)
    await fall_back(app, waiting, due_in=0.1)
    await app.cancel(canceling, by="me", reason="")
    return [fresh, claimed, waiting, canceling]


async def test_lost_messages_come_again_and_are_no_duplicates(backend):
    """For a task in any state, with a position that no processor takes for an old one."""
    broker, seen = Losing(), []
    async with backend.store() as store:
        app = application(store)
        async with relaying(store, broker, watchdog_seconds=PATIENCE, observe=seen.append) as relay:
            tasks = await in_every_state(app, store)
            end = await store.position()
            await until(lambda: queued(store, tasks[0]))
            await until(lambda: relay.position >= end, "all else is sent for the first time")
            before = len(broker.messages)
            await until(lambda: {m.task_id for m in broker.messages[before:]} == set(tasks))
            rescues = broker.messages[before:]
            await until(lambda: sum(f.rescued for f in seen) >= 4)
        for message in rescues:
            _, newest = await app.load(message.task_id)
            assert message.position == newest
            retry = message.task_id == tasks[2]
            assert message.destination is (Destination.RETRY if retry else Destination.WORK)
            assert message.delay == 0


async def test_what_a_dead_relay_could_not_rescue_the_next_one_does(store):
    """The watchdog reads the log, not a memory: it knows tasks of before its time."""
    app = application(store)
    async with relaying(store, Broker()):
        tasks = await in_every_state(app, store)
        await until(lambda: queued(store, tasks[0]))
    broker = Losing()
    async with relaying(store, broker, watchdog_seconds=PATIENCE):
        await until(lambda: {m.task_id for m in broker.messages} == set(tasks))


async def test_the_checkpoint_never_passes_an_unfinished_task(store):
    """It stands before the oldest one, and moves on when that one is over."""
    app = application(store)
    async with relaying(store, Broker(), watchdog_seconds=PATIENCE):
        first, second = await requested(store, 2)
        await until(lambda: queued(store, second))
        await app.cancel(second, by="me", reason="")
        _, position = await app.load(first)
        for _ in range(20):
            await requested(store, 1)
        assert await store.checkpoint("unfinished") < position
        await app.cancel(first, by="me", reason="")

        async def moved() -> bool:
            return await store.checkpoint("unfinished") > position

        await until(moved)


async def test_tasks_whose_messages_wait_are_left_alone(backend):
    """While the queue holds as many messages as tasks wait, none of them is published again."""
    broker, looks = Broker(), []
    async with (
        backend.store() as store,
        relaying(store, broker, watchdog_seconds=PATIENCE, observe=looks.append),
    ):
        tasks = await requested(store, 5)
        await until(lambda: queued(store, tasks[-1]))
        seen = len(looks)
        await until(lambda: len(looks) > seen + 10)  # many times the patience
    assert Counter(broker.tasks()) == Counter(tasks)


async def test_a_broker_that_lost_its_data_is_filled_from_the_log(backend):
    """At once, by itself, and again when it happens again; a task whose turn is to come waits."""
    broker = Broker()
    async with backend.store() as store, relaying(store, broker, window=1) as relay:
        app = application(store)
        tasks = await in_every_state(app, store)
        await until(lambda: queued(store, tasks[0]))
        (later,) = await requested(store, 1)
        _, position = await app.load(later)
        await until(lambda: relay.position >= position)
        for _ in range(2):
            broker.messages.clear()
            broker.marks = False
            await until(lambda: broker.marks)
            assert sorted(m.task_id for m in broker.messages) == sorted(tasks)


async def test_a_broker_is_marked_when_everything_is_back_and_not_before(backend):
    """A broker that goes away half way is rebuilt again."""
    broker = Broker(marked=False)
    async with backend.store() as store:
        app = application(store)
        tasks = await in_every_state(app, store)
        publish = broker.publish

        async def break_down(message) -> None:
            await publish(message)
            broker.away = True

        broker.publish = break_down
        async with relaying(store, broker):
            await until(lambda: broker.refused)
            assert not broker.marks
            broker.publish, broker.away = publish, False
            await until(lambda: broker.marks)
            fresh, *others = tasks
            assert set(others) <= {m.task_id for m in broker.messages}
            await until(lambda: fresh in {m.task_id for m in broker.messages}, "its turn has come")


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
async def test_a_wiped_rabbitmq_gets_its_messages_back_without_an_operator(rabbitmq, backend):
    """The relay lives on, nobody publishes anything new, and the disk was replaced."""
    queue = RabbitMQ(rabbitmq.url)  # the vhost that is there again; nobody else uses it
    async with backend.store() as store, relaying(store, queue):
        app = application(store)
        tasks = await in_every_state(app, store)
        await until(lambda: queued(store, tasks[0]))
        await asyncio.to_thread(rabbitmq.wipe)
        found = set()
        async with asyncio.timeout(2 * SECONDS), queue.deliveries(10) as deliveries:
            async for delivery in deliveries:
                found.add(delivery.message.task_id)
                await delivery.ack()
                if found == set(tasks):
                    break
        await until(lambda: _marked(queue))
    await queue.aclose()


async def _marked(queue) -> bool:
    try:
        return await queue.marked()
    except Unavailable:
        return False


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """The relay looks often."""
    monkeypatch.setattr("tts.relay.rescue.LOOK_SECONDS", 0.05)
