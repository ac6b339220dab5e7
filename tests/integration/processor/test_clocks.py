"""Clocks that are wrong: the broker measures a retry's wait, and no slot is held meanwhile."""

import asyncio
import contextlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.world import World
from tts.domain import retry
from tts.domain.values import Status
from tts.gate.gate import Gate
from tts.gate.state import Limits
from tts.queue.memory import MemoryQueue
from tts.sandbox import Behaviour, start_sandbox
from tts.store.sqlite import SQLiteStore
from tts.wire import UPDATES

WAIT_SECONDS = 2.0  # of a template host that is away
SOON = timedelta(seconds=45)  # on a busy machine; a clock that blocks does so for minutes


class Machine:
    """A machine's clock."""

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        """What it shows."""
        return datetime.now(UTC) + self.ahead


class Witness:
    """A store that notes when each task came to each status, by the true clock."""

    def __init__(self, store: SQLiteStore) -> None:
        self.times: dict[UUID, dict[str, datetime]] = defaultdict(dict)
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def append(self, events, payload=None):
        """Append, and note it."""
        position = await self._store.append(events, payload)
        for event in events:
            status = UPDATES[event.topic][0].value
            self.times[event.originator_id].setdefault(status, datetime.now(UTC))
        return position


@pytest.fixture
async def world(tmp_path, monkeypatch):
    monkeypatch.setattr(retry, "PAUSE_SECONDS", (WAIT_SECONDS, WAIT_SECONDS))
    store = SQLiteStore(tmp_path / "tts.db")
    await store.open()
    sandbox = await start_sandbox(
        behaviour=Behaviour(boot_seconds=0.05, predict_seconds=0.1, speech="tone")
    )
    made = World(Witness(store), sandbox, tmp_path)
    made.change(
        retry_max_interval_ms=10_000,
        task_deadline_seconds=1500,
        tts_concurrency=1,
        shutdown_seconds=0,
    )
    yield made
    await made.close()
    await sandbox.stop()
    await store.aclose()


@contextlib.asynccontextmanager
async def machines(world: World, relay: Machine, *processors: Machine):
    """A relay and processors with one slot each, every one with a clock of its own."""
    world.queue = MemoryQueue()
    gate = Gate(world.documents, Limits())
    parts = [world.process(now=relay.now).relay()]
    for number, machine in enumerate(processors):
        process = world.process(now=machine.now, worker=f"w{number}", gate=gate)
        parts.append(process.processor())
    running = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize(
    "minutes", [(0, 10, 10), (0, -60, 0), (10, 0, 0), (-60, 0, 0), (0, 10, -60), (10, -60, 0)]
)
async def test_a_retry_waits_for_its_time_whatever_the_clocks_say(world, minutes):
    """Minutes ahead or an hour behind, on any machine: neither at once nor much later."""
    clocks = [Machine(timedelta(minutes=ahead)) for ahead in minutes]
    await world.fault("template_transcript", "status", args={"status": 503}, count=1)
    async with machines(world, *clocks):
        task = await world.ended(await world.request())
    assert task.status is Status.SUCCEEDED
    times = world.store.times[task.id]
    again = min(at for at in times.values() if at > times["waiting_retry"])
    assert again - times["waiting_retry"] > timedelta(seconds=0.5 * WAIT_SECONDS)
    assert again - times["waiting_retry"] < SOON


async def test_a_clock_that_steps_back_blocks_no_slot(world):
    """While retries wait, the only slot works on others; after the step they are not late."""
    clock = Machine()
    await world.fault("template_transcript", "status", args={"status": 503}, count=2)
    async with machines(world, clock, clock):
        retried = [await world.request(template="t1"), await world.request(template="t2")]
        for task in retried:
            await world.reached(task, Status.WAITING_RETRY)
        clock.ahead = timedelta(hours=-1)
        began = datetime.now(UTC)
        fresh = await world.ended(await world.request(template="t3"))
        assert fresh.status is Status.SUCCEEDED
        for task in retried:
            assert (await world.ended(task)).status is Status.SUCCEEDED
            assert world.store.times[task.id]["succeeded"] - began < SOON
