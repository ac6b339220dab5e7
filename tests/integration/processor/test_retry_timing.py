"""When a retry starts, measured from the time at which it is due."""

import contextlib
import math
from datetime import datetime

import orjson
import pytest

from tests.world import World
from tts.domain.task import Task
from tts.domain.values import Status
from tts.queue.memory import MemoryQueue
from tts.queue.rabbitmq import RabbitMQ
from tts.sandbox import Behaviour, start_sandbox
from tts.store.postgres import PostgresStore
from tts.store.sqlite import SQLiteStore

TASKS = 30  # each with two retries


@pytest.fixture(params=["embedded", "distributed"])
async def parts(request, tmp_path):
    """A store and a queue, as the deployment has them."""
    if request.param == "embedded":
        store, queue = SQLiteStore(tmp_path / "tts.db"), MemoryQueue()
    else:
        store = PostgresStore(request.getfixturevalue("postgres").create_database())
        queue = RabbitMQ(request.getfixturevalue("rabbitmq").create_vhost())
    await store.open()
    yield store, queue
    await queue.aclose()
    await store.aclose()


async def test_no_retry_starts_before_its_time(parts, tmp_path):
    """Of dozens none is early; how late they are is shown, not promised."""
    store, queue = parts
    async with failing(store, tmp_path) as world, world.working(queue=queue, concurrency=16):
        tasks = [await world.request() for _ in range(TASKS)]
        for task in tasks:
            assert (await world.ended(task)).status is Status.FAILED
        late = sorted([seconds for task in tasks for seconds in await lateness(world, task)])
    assert len(late) == 2 * TASKS
    p50, p99 = (late[math.ceil(share * len(late)) - 1] for share in (0.5, 0.99))
    shown = " ".join(
        f"{name} {seconds * 1000:.0f} ms"
        for name, seconds in [("min", late[0]), ("p50", p50), ("p99", p99), ("max", late[-1])]
    )
    print(f"{len(late)} retries late by: {shown}")  # noqa: T201 -- pytest -s shows it
    assert late[0] >= 0, shown


@contextlib.asynccontextmanager
async def failing(store, folder):
    """A world without predictions, whose retries are due after one and two seconds or more."""
    sandbox = await start_sandbox(behaviour=Behaviour(boot_seconds=0.05, predict_seconds=0.05))
    world = World(store, sandbox, folder)
    world.change(
        retry_initial_interval_ms=1000, retry_max_interval_ms=10_000, retry_jitter="proportional"
    )
    await world.fault("prediction", "failed", args={"error": "Prediction interrupted (code: PA)"})
    try:
        yield world
    finally:
        await world.close()
        await sandbox.stop()


async def lateness(world: World, task: Task) -> list[float]:
    """For each retry of the task, how many seconds after its due time it started."""
    late, due = [], None
    for event in await world.store.events(task.id):
        state = orjson.loads(event.state)
        if event.topic == Task.RetryScheduled.TOPIC:
            due = datetime.fromisoformat(state["due_at"])
        elif event.topic == Task.RetryStarted.TOPIC:
            late.append((datetime.fromisoformat(state["timestamp"]) - due).total_seconds())
    return late
