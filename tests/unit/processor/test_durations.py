"""When it is of use to look at a prediction for the first time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tts.ports.speech import Prediction, PredictionState
from tts.processor.durations import LATELY, LONGEST_SECONDS, Durations
from tts.processor.polling import output_of
from tts.processor.wakeups import Wakeups

RUNNING = Prediction("p1", PredictionState.RUNNING, "v1")
OVER = Prediction("p1", PredictionState.SUCCEEDED, "v1", "https://r.test/a.wav", 0.7, 1.25)


def test_it_is_of_no_use_before_the_quickest_of_late_would_be_over():
    """Those of long ago do not count, and without any there is nothing to go by."""
    durations = Durations()
    assert durations.shortest == 0
    durations.add(0.1)
    for _ in range(LATELY - 1):
        durations.add(1.5)
    assert durations.shortest == 0.1
    durations.add(1.0)
    assert durations.shortest == 1.0


def test_it_is_not_put_off_for_long():
    """A short text may come after many long ones."""
    durations = Durations()
    durations.add(60)
    assert durations.shortest == LONGEST_SECONDS


class Claimed:
    """Counts the seconds of its pauses instead of waiting."""

    interrupted = False
    task = SimpleNamespace(deadline_at=datetime(2026, 1, 1, tzinfo=UTC))

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> datetime:
        """Long before the deadline."""
        return self.task.deadline_at - timedelta(hours=1)

    async def pause(self, seconds: float, _: asyncio.Event) -> None:
        """See :class:`tts.processor.claimed_task.ClaimedTask`."""
        self.pauses.append(seconds)


async def looks(seen: Prediction | None, durations: Durations, answers: list[Prediction]) -> Any:
    """The pauses before each look at a prediction; of its creation ``seen`` is known."""

    async def get(_: str) -> Prediction:
        return answers.pop(0)

    claimed = Claimed()
    segment: Any = SimpleNamespace(claimed=claimed, take_seen=lambda: seen)
    resources: Any = SimpleNamespace(
        wakeups=Wakeups(),
        durations=durations,
        poll_interval=0.5,
        predictions=SimpleNamespace(get=get),
    )
    await output_of(segment, "p1", resources)
    return claimed.pauses


@pytest.mark.parametrize(("shortest", "first"), [(0.1, 0.5), (0.9, 0.9)])
async def test_the_first_look_waits_until_it_may_be_over_and_the_others_as_always(shortest, first):
    """And what it shows counts from then on."""
    durations = Durations()
    durations.add(shortest)
    assert await looks(RUNNING, durations, [RUNNING, RUNNING, OVER]) == [first, 0.5, 0.5]
    for _ in range(LATELY - 1):
        durations.add(1.3)
    assert durations.shortest == 1.25


async def test_who_takes_over_a_prediction_looks_at_once():
    """It may be over since long."""
    durations = Durations()
    durations.add(1.0)
    assert await looks(None, durations, [OVER]) == [0.0]
