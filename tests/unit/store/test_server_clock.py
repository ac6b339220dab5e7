"""The time of a server, as it is known between two looks at its clock."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

import pytest

from tts.store.postgres_clock import ServerClock

START = 1_800_000_000.0


@pytest.fixture
def machine(monkeypatch):
    """A machine whose monotonic clock and whose wall clock stand where a test wants them."""
    clocks = {"monotonic": 100.0, "wall": START}
    monkeypatch.setattr(time, "monotonic", lambda: clocks["monotonic"])
    monkeypatch.setattr(time, "time", lambda: clocks["wall"])
    return clocks


def seconds(clock: ServerClock) -> float:
    return clock.now().timestamp() - START


def test_a_step_of_the_machines_own_clock_changes_nothing(machine):
    """The seconds in between are counted by a clock that nobody sets."""
    clock = ServerClock()
    clock.heard(START, asked=99.5, answered=100.5)
    machine["wall"] -= 3600
    machine["monotonic"] += 7
    assert seconds(clock) == pytest.approx(7)


def test_a_step_of_the_servers_clock_is_followed(machine):
    """It is the one that counts."""
    clock = ServerClock()
    clock.heard(START, asked=100.0, answered=100.0)
    clock.heard(START + 60, asked=100.0, answered=100.0)
    assert seconds(clock) == pytest.approx(60)


def test_a_slow_answer_moves_nothing_that_it_does_not_contradict(machine):
    """It was shown some time within these four seconds: what is known already fits."""
    clock = ServerClock()
    clock.heard(START, asked=99.99, answered=100.01)
    before = seconds(clock)
    clock.heard(START + 3, asked=100.0, answered=104.0)
    assert seconds(clock) == before
    clock.heard(START + 5, asked=100.0, answered=104.0)
    assert seconds(clock) == pytest.approx(1)


def test_until_it_is_known_the_machine_has_to_do():
    """There is nobody to ask yet."""
    assert abs((ServerClock().now() - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize(("ahead", "words"), [(600, "600.0 s ahead of"), (-7, "7.0 s behind")])
def test_a_wrong_machine_is_told_of_until_it_is_mended(machine, caplog, ahead, words):
    """Once in the log, and in the notes of health; a difference of a moment is none."""
    skews = []
    clock = ServerClock(skews.append)
    machine["wall"] += ahead
    with caplog.at_level(logging.INFO, "tts"):
        for _ in range(3):
            clock.heard(START, asked=100.0, answered=100.0)
        assert words in clock.notes()[0]
        machine["wall"] -= ahead - 0.3
        clock.heard(START, asked=100.0, answered=100.0)
    assert clock.notes() == []
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert skews == pytest.approx([ahead, ahead, ahead, 0.3])
