"""A processor that hangs with messages in its hands does not hold up the others."""

import asyncio
import time

from tests.waiting import until
from tests.world import World
from tts.domain.values import Status

CONCURRENCY = 16
MANY = 60
HUNG_SECONDS = 120  # longer than the rest needs; a hung one may last for ever


async def test_a_processor_that_hangs_keeps_what_it_holds_and_no_more(queue, world):
    """With twice as many messages as the window is wide in dead hands, all others are worked on."""
    world.change(dispatch_window=8)
    await world.behave(predict_seconds=0.02, boot_seconds=0.0)
    async with queue.deliveries(CONCURRENCY) as hung:
        holding = asyncio.create_task(hold(hung))
        async with world.working(queue=queue, concurrency=CONCURRENCY):
            began = time.monotonic()
            tasks = [await world.request() for _ in range(MANY)]
            await until(lambda: done(world, tasks, MANY - CONCURRENCY), seconds=HUNG_SECONDS)
            seconds = time.monotonic() - began
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            print(f"{MANY - CONCURRENCY} tasks beside a hung processor: {seconds:.1f} s")  # noqa: T201 -- pytest -s shows it


async def hold(deliveries) -> None:
    held = [delivery async for delivery in deliveries]
    await asyncio.Event().wait()
    del held


async def done(world: World, tasks, count: int) -> bool:
    states = [(await world.application.load(task.id))[0].status for task in tasks]
    return states.count(Status.SUCCEEDED) >= count
