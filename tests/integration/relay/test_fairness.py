"""Nobody waits behind somebody else's thousands: turns by owner and priority, under load.

How long something waits is counted in tasks that were finished meanwhile: so it does not matter how
busy the machine is.
"""

import asyncio

import pytest

from tts.domain.task import Task
from tts.domain.values import Status

MANY = 300
# The relay is 32 rounds ahead of the processor's eight; twice that, for what is between the two.
SOON = 2 * (32 + 8)
SECONDS = 90


@pytest.fixture
async def world(world):
    await world.behave(predict_seconds=0.02, boot_seconds=0.0)
    return world


async def ask(world, count, *, owner="big", priority="normal") -> list[Task]:
    asked = (
        world.application.request(
            template_id="template1", text=f"{owner}{n}", owner=owner, priority=priority
        )
        for n in range(count)
    )
    return [task for task, _ in await asyncio.gather(*asked)]


async def succeeded(world, task) -> None:
    """Return when it has."""
    assert (await world.ended(task, seconds=SECONDS)).status is Status.SUCCEEDED


async def served_before(world, task) -> int:
    """How many others succeeded between the task's request and its own success."""
    own = await world.store.events(task.id)
    others = await world.store.read(own[0].position, own[-1].position - own[0].position)
    return sum(e.topic == Task.Succeeded.TOPIC and e.position < own[-1].position for e in others)


async def test_a_small_owner_does_not_wait_for_a_big_one(world):
    """With hundreds of tasks of another before it, a single one has its turn among the next few."""
    async with world.working():
        await ask(world, MANY)
        (small,) = await ask(world, 1, owner="small")
        await succeeded(world, small)
    assert await served_before(world, small) <= SOON


async def test_what_is_urgent_overtakes_what_waits(world):
    """A task of high priority goes before the same owner's normal ones that came first."""
    async with world.working():
        await ask(world, MANY // 2)
        (urgent,) = await ask(world, 1, priority="high")
        await succeeded(world, urgent)
    assert await served_before(world, urgent) <= SOON


async def test_what_can_wait_does_not_starve(world):
    """A task of low priority has its turn while hundreds of high priority wait."""
    async with world.working():
        await ask(world, MANY // 2, priority="high")
        (patient,) = await ask(world, 1, priority="low")
        await succeeded(world, patient)
    assert await served_before(world, patient) <= SOON
