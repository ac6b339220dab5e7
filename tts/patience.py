"""How to wait for what is away: outages are waited out, leaderships are waited for.

The library stamina does not serve here: it logs every attempt where we want one line for an outage,
and its pauses begin anew with each call, while ours outlast a connection that breaks at once again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

from tts.ports.coordination import Coordination
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 2.0


class Outage:
    """Something that may be away: one warning when that begins, and one line when it is over.

    ``trouble`` says what cannot be done meanwhile; without one nothing is logged. Many may wait for
    the same end; ``about`` is what the log says of the one who met it. ``clock`` is in seconds.
    """

    def __init__(
        self,
        trouble: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._trouble = trouble
        self._clock = clock
        self._sleep = sleep
        self._lasts = False
        self._began = self._ended = -math.inf

    def failed(self, error: Unavailable, about: Mapping[str, object] | None = None) -> float:
        """Take note of a failure; returns how many seconds to pause before the next attempt.

        That is about as long as the outage has lasted. One that begins again at once is the same.
        """
        now = self._clock()
        if not self._lasts:
            if now - self._ended > LONGEST_SECONDS:
                self._began = now
            self._lasts = True
            if self._trouble:
                logger.warning("%s, trying again: %s", self._trouble, error, extra=about)
        pause = min(max(now - self._began, SHORTEST_SECONDS), LONGEST_SECONDS)
        return pause * random.uniform(0.5, 1)  # noqa: S311 -- not all come back at one moment

    def over(self, about: Mapping[str, object] | None = None) -> None:
        """Take note of a success; it may never have been away."""
        if self._lasts:
            self._lasts = False
            self._ended = self._clock()
            if self._trouble:
                seconds = self._ended - self._began
                logger.info("%s: over after %.1f s", self._trouble, seconds, extra=about)

    async def wait_out(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        about: Mapping[str, object] | None = None,
        at_most: float = math.inf,
    ) -> T:
        """Repeat the work until it succeeds, for ``at_most`` seconds.

        Work that lasts, such as a connection that is listened to, calls :meth:`over` when it is up.

        Raises:
            Unavailable: the time is over.
        """
        deadline = self._clock() + at_most
        met = False  # those whom the outage did not meet cannot say that it is over
        while True:
            try:
                with heeding():
                    result = await work()
            except Unavailable as error:
                met = True
                pause = self.failed(error, about)
                remaining = deadline - self._clock()
                if remaining <= 0:
                    raise
            else:
                if met:
                    self.over(about)
                return result
            await self._sleep(min(pause, remaining))


@contextlib.contextmanager
def heeding() -> Iterator[None]:
    """Raise a cancellation that the block has lost: whoever canceled us would wait for ever.

    psycopg and aiormq wait with ``asyncio.wait_for``, which in Python 3.11 forgets a cancellation
    that meets the answer.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def lead(coordination: Coordination, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work while this process leads ``name``, until the work ends by itself.

    It is stopped when the leadership is lost or something is away, and begun anew with the next
    leadership.
    """
    outage = Outage(f"The {name} is interrupted")

    async def term() -> None:
        async with coordination.leadership(name) as leadership:
            outage.over()
            logger.info("Leading the %s", name)
            if await first_of(work(), leadership.lost()) == 0:
                return
        raise Unavailable("the leadership is lost")

    await outage.wait_out(term)


async def first_of(*works: Awaitable[None]) -> int:
    """Run all, and when the first one ends cancel the others; returns which one it was.

    Its failure is raised.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return next(number for number, task in enumerate(tasks) if task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
