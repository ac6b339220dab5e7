"""Who waits for a prediction is woken by its webhook, and by no other."""

from __future__ import annotations

import asyncio

import pytest

from tests.waiting import SECONDS
from tts.processor.wakeups import REMEMBERED_MOST, REMEMBERED_SECONDS, Wakeups
from tts.store.memory import LocalSignals


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        """The time it was set to."""
        return self.time


async def woken(event: asyncio.Event) -> None:
    async with asyncio.timeout(SECONDS):
        await event.wait()


def test_a_webhook_wakes_all_who_wait_for_its_prediction():
    """Both that wait for it, and not the one who waits for another."""
    it = Wakeups()
    with it.expect("a") as one, it.expect("a") as two, it.expect("b") as other:
        it.wake("a")
        assert (one.is_set(), two.is_set(), other.is_set()) == (True, True, False)


def test_a_webhook_that_comes_before_anybody_waits_is_not_lost():
    """A prediction can be over before the reply to its creation is read."""
    clock = Clock()
    it = Wakeups(clock)
    it.wake("a")
    clock.time += REMEMBERED_SECONDS
    with it.expect("a") as event:
        assert event.is_set()
    clock.time += 0.1
    with it.expect("a") as event:
        assert not event.is_set()


def test_what_came_is_remembered_in_bounded_memory():
    """The oldest are forgotten first, and all of them with time."""
    clock = Clock()
    it = Wakeups(clock)
    for number in range(REMEMBERED_MOST + 5):
        it.wake(str(number))
    with it.expect("4") as forgotten, it.expect("5") as remembered:
        assert (forgotten.is_set(), remembered.is_set()) == (False, True)
    clock.time += REMEMBERED_SECONDS + 1
    it.wake("new")
    assert len(it._came) == 1


async def test_who_waits_when_the_listening_begins_is_woken():
    """His webhook may have come before; from then on signals are heard."""
    it, signals = Wakeups(), LocalSignals()
    with it.expect("a") as event:
        running = asyncio.create_task(it.run(signals))
        await woken(event)
        event.clear()
        await signals.send("a")
        await woken(event)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with it.expect("b") as event:
        await signals.send("b")
        assert not event.is_set()
