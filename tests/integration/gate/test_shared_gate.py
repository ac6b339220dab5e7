"""What the account of Replicate bears is shared: the bounds hold for all processors together."""

import contextlib

import pytest

from tests.waiting import until
from tts.domain.values import Status
from tts.gate.gate import Gate
from tts.gate.state import Limits, burst, fill_rate
from tts.store.documents import PostgresDocuments
from tts.store.postgres import PostgresStore

PER_MINUTE = 120  # of which a tenth may come at once
SLOW = 30.0  # seconds of a prediction that ends when the test says so


@pytest.fixture
async def gates_of(postgres):
    """Makes the gates of two processes: each has connections of its own to one database."""
    url = postgres.create_database()
    async with contextlib.AsyncExitStack() as stack:
        stores = [PostgresStore(url) for _ in range(2)]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.aclose)
        yield lambda limits: [Gate(PostgresDocuments(store.server), limits) for store in stores]


async def test_two_processors_keep_the_bound_on_predictions_in_flight(world, gates_of):
    """There are never more than allowed, and as many as allowed: 16 hands share three places."""
    await world.behave(predict_seconds=SLOW)

    async def all_places_are_taken():
        return len(await world.running()) == 3

    async with world.working(gates=gates_of(Limits(in_flight=3))):
        tasks = [await world.request(f"{number}号。") for number in range(18)]
        for _ in range(len(tasks) // 3):
            await until(all_places_are_taken, "there are as many as allowed")
            world.replicate_ahead += 2 * SLOW
        ended = [await world.ended(task) for task in tasks]
    assert {task.status for task in ended} == {Status.SUCCEEDED}
    assert (await world.stats())["peak_running"] == 3
    assert await world.creations() == 18


async def test_two_processors_keep_the_bound_on_creations_a_minute(world, gates_of):
    """Over any stretch of time there are no more than one processor alone might make."""
    async with world.working(gates=gates_of(Limits(creates_per_minute=PER_MINUTE))):
        tasks = [await world.request(f"{number}号。") for number in range(18)]
        ended = [await world.ended(task) for task in tasks]
    assert {task.status for task in ended} == {Status.SUCCEEDED}
    created_at = await world.created_at()
    assert len(created_at) == 18
    for first, began in enumerate(created_at):
        for last, ended in enumerate(created_at[first:], first):
            # One more, since a permit is given before the creation and the way there varies.
            most = burst(PER_MINUTE) + fill_rate(PER_MINUTE) * (ended - began) + 1
            assert last - first + 1 <= most
