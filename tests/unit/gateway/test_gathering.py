"""When the streams wait for more events."""

from __future__ import annotations

from bisect import bisect_right

import pytest

from gateway.streams.gathering import PAUSE_MAX_SECONDS, Gathering


def pauses(rate: float, cost: float, *, seconds: float = 20) -> tuple[list[float], list[float]]:
    """Hand out events that come evenly, ``rate`` a second; the pauses and each event's delay."""
    arrivals = [n / rate for n in range(1, int(rate * seconds))]
    gathering, now, found, delays = Gathering(0.0), 0.0, [], []
    done = 0
    while done < len(arrivals):
        began = max(now, arrivals[done])
        ended, come = began + cost, bisect_right(arrivals, began)
        delays += [ended - at for at in arrivals[done:come]]
        found.append(gathering.pause(come - done, began, ended))
        now, done = ended + found[-1], come
    return found, delays


@pytest.mark.parametrize(("rate", "cost"), [(100, 0.007), (1000, 0.0007), (5, 0.1), (1, 0.5)])
def test_nobody_waits_while_the_streams_keep_up(rate, cost):
    """Each event leaves as soon as it is there, however many streams that takes."""
    found, delays = pauses(rate, cost)
    assert not any(found)
    assert max(delays) == pytest.approx(cost)


@pytest.mark.parametrize(("rate", "cost"), [(100, 0.02), (1000, 0.005), (20, 0.2)])
def test_events_that_come_too_fast_are_gathered(rate, cost):
    """Then half of the time is left for requests, and no delay grows."""
    found, delays = pauses(rate, cost)
    late = found[len(found) // 2 :]
    assert sum(late) >= len(late) * 0.9 * min(cost, PAUSE_MAX_SECONDS)
    assert max(delays[len(delays) // 2 :]) <= 3 * cost + PAUSE_MAX_SECONDS


@pytest.mark.parametrize("cost", [0.005, 0.02])
def test_events_that_wait_for_the_streams_are_gathered_all_the_same(cost):
    """Each is posted after the answer to the one before, which comes also during hand-outs."""
    gathering, now, handed_out = Gathering(0.0), 0.0, []
    for _ in range(60):
        pause = gathering.pause(handed_out[-1] if handed_out else 1, now, now + cost)
        handed_out.append(1 + int((cost + pause) / 0.002))
        now += cost + max(pause, 0.001)
    assert min(handed_out[30:]) >= 0.9 * PAUSE_MAX_SECONDS / 0.002


def test_an_event_that_comes_alone_does_not_wait_for_the_next_one():
    """Not even right after a burst was gathered."""
    gathering = Gathering(0.0)
    assert gathering.pause(500, 1.0, 1.02) > 0
    assert gathering.pause(1, 10.0, 10.005) == 0
