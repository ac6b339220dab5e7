"""A process that uses a store: ``write COUNT SEED`` appends, ``lead NAME`` leads until it dies."""

from __future__ import annotations

import asyncio
import json
import sys
from random import Random

from tests.histories import live, new_task, stored
from tests.services.stores import Backend, Store


def say(value: object) -> None:
    """One line of JSON for whoever started us."""
    print(json.dumps(value), flush=True)  # noqa: T201 -- the pipe is the interface


async def write(store: Store, count: int, seed: int) -> None:
    """Append the lives of ``count`` tasks, 16 at once, in bits of one to three events."""
    random = Random(seed)
    lives = [stored(live(new_task(random), random, steps=8)) for _ in range(count)]
    gate = asyncio.Semaphore(16)

    async def append(events: list) -> None:
        async with gate:
            while events:
                bit = random.randint(1, 3)
                await store.append(events[:bit])
                events = events[bit:]

    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*map(append, lives))
    say(sum(map(len, lives)))


async def lead(store: Store, name: str) -> None:
    """Say when the leadership is ours and when it is lost."""
    async with store.leadership(name) as leadership:
        say("leading")
        await leadership.lost()
    say("lost")


async def main(url: str, command: str, *arguments: str) -> None:
    """Open the store and do what is asked for."""
    async with Backend(url).store() as store:
        if command == "write":
            await write(store, *map(int, arguments))
        else:
            await lead(store, *arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
