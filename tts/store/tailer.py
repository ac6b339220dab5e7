"""Following the log: a wake-up is a hint, the positions are the truth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple, Self

from tts.patience import Outage
from tts.ports.log import Recorded

SAFETY_POLL_SECONDS = 1.0  # a wake-up can be lost; the log is read this often all the same


class Stretch(NamedTuple):
    """What a read has found, and up to which position nothing more is to be found."""

    events: list[Recorded]
    end: int

    @classmethod
    def of(cls, events: list[Recorded], limit: int, newest: int) -> Self:
        """A read of up to ``limit`` events, made when the log had come to ``newest`` or further.

        Positions become visible in their order: behind what was found, nothing can appear that
        is not behind ``newest`` as well.
        """
        last = events[-1].position if events else 0
        return cls(events, last if len(events) == limit else max(last, newest))


class Bell:
    """Tells the followers of the log in this process that there may be something new for them."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Event, Collection[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def kick(self, *topics: str) -> None:
        """Wake who follows one of the topics, or everyone; call it on the event loop."""
        for event, followed in self._listeners.items():
            if not (topics and followed) or not set(topics).isdisjoint(followed):
                event.set()

    @contextlib.contextmanager
    def listener(self, topics: Collection[str]) -> Iterator[asyncio.Event]:
        """An event that each kick for one of the topics sets, or each for none."""
        event = asyncio.Event()
        self._listeners[event] = topics
        try:
            yield event
        finally:
            del self._listeners[event]


async def follow(
    read: Callable[[int, int, Collection[str]], Awaitable[Stretch]],
    position: Callable[[int], Awaitable[int]],
    bell: Bell,
    after: int,
    batch: int,
    topics: Collection[str],
) -> AsyncIterator[list[Recorded]]:
    """Yield every event of the topics after the position ``after`` once, in order, for ever.

    Outages of the store are waited out: the next read starts where the last one ended, whether or
    not there was an event to yield. A log that ends before that is told so by the ``position``; one
    that has gone on since is noticed by the read.
    """
    outage = Outage("The log cannot be read")
    with bell.listener(topics) as woken:
        while True:
            # Cleared before the read: what commits during the read sets it again.
            woken.clear()
            stretch = await outage.wait_out(partial(read, after, batch, topics))
            if stretch.end < after:
                await outage.wait_out(partial(position, after))
                continue
            after = stretch.end
            if stretch.events:
                yield stretch.events
            if len(stretch.events) < batch:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAFETY_POLL_SECONDS):
                        await woken.wait()
