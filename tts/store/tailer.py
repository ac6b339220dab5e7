"""Following the log: a wake-up is a hint, the positions are the truth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

from tts.patience import Outage
from tts.ports.log import Recorded

SAFETY_POLL_SECONDS = 1.0  # a wake-up can be lost; the log is read this often all the same


class Bell:
    """Tells every follower of the log in this process that there may be something new."""

    def __init__(self) -> None:
        self._events: set[asyncio.Event] = set()

    def __bool__(self) -> bool:
        return bool(self._events)

    def kick(self) -> None:
        """Wake everyone; call it on the event loop."""
        for event in self._events:
            event.set()

    @contextlib.contextmanager
    def listener(self) -> Iterator[asyncio.Event]:
        """An event that each kick sets."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)


async def follow(
    read: Callable[[int, int], Awaitable[list[Recorded]]],
    position: Callable[[int], Awaitable[int]],
    bell: Bell,
    after: int,
    batch: int,
) -> AsyncIterator[list[Recorded]]:
    """Yield every event after the position ``after`` once, in order, for ever.

    Outages of the store are waited out: the next read starts where the last one ended. A log that
    ends before ``after`` is noticed by the ``position``, which is asked for at first and when all
    is quiet; one that has gone on since, by the read.
    """
    outage = Outage("The log cannot be read")
    await outage.wait_out(partial(position, after))
    with bell.listener() as woken:
        while True:
            # Cleared before the read: what commits during the read sets it again.
            woken.clear()
            rows = await outage.wait_out(partial(read, after, batch))
            if rows:
                after = rows[-1].position
                yield rows
            if len(rows) < batch:
                try:
                    async with asyncio.timeout(SAFETY_POLL_SECONDS):
                        await woken.wait()
                except TimeoutError:
                    await outage.wait_out(partial(position, after))
