"""Waiting for what happens elsewhere: by looking again and again, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

SECONDS = 60.0  # until a test gives up; nothing takes that long
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.05  # seconds: a look may cost as much as what it waits for


async def until(
    condition: Callable[[], Any], what: str = "the condition", seconds: float = SECONDS
) -> Any:
    """Return what the condition returns, asynchronous or not, as soon as that is true.

    Raises:
        TimeoutError: says ``what`` did not happen.
    """
    pauses = _pauses()
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = condition()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(next(pauses))
    except TimeoutError as error:
        raise TimeoutError(f"{what}: not within {seconds} s") from error


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 2 * SECONDS) -> Any:
    """The same for a test without a loop, whose servers take long to start."""
    deadline = time.monotonic() + seconds
    pauses = _pauses()
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(next(pauses))
    return answer


def _pauses() -> Iterator[float]:
    """Seconds between two looks: what takes long is looked at less often."""
    pause = SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.2, LONGEST_PAUSE)
