"""The gate's decision alone, whatever happens in whatever order."""

import math
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tts.gate.state import (
    FAULTS_TO_TRIP,
    PAUSE_CAP_SECONDS,
    PRESUMED_PER_MINUTE,
    PROBE_SECONDS,
    THROTTLED_CAP_SECONDS,
    Breaker,
    GateState,
    Limits,
    News,
    Outcome,
    admit,
    burst,
    fill_rate,
    leave,
    settle,
)

NOW = 1_000_000.0
FREE = Limits()
FAULT = Outcome(News.FAULT, "replicate_unreachable", "refused")
REFUSED = Outcome(News.MISCONFIGURED, "replicate_unauthorized", "401")
THROTTLED = Outcome(News.THROTTLED, "replicate_throttled", "429")
CREATED = Outcome(News.CREATED)
HOUR = 3600.0

keys = st.sampled_from([f"task:{n}" for n in range(8)])
outcomes = st.builds(
    Outcome,
    st.sampled_from(News),
    retry_after=st.none() | st.floats(0, 1000),
    per_minute=st.none() | st.floats(1, 600),
    may_run=st.booleans(),
)


def enter(state, key, now, limits=FREE):
    """The state with a permit for ``key``."""
    state, wait = admit(state, key, now, limits, expires_at=now + HOUR)
    assert wait == 0.0, f"{key} was not admitted"
    return state


def shut(outcome=REFUSED, state=None):
    """The state after a creation went so that the gate is shut."""
    state = settle(enter(state or GateState(), "a", NOW), "a", outcome, NOW, FREE)
    assert state.breaker(NOW) is Breaker.OPEN
    return state


class Machine(RuleBasedStateMachine):
    """Creations come, go and end in every way, while time passes."""

    @initialize(
        per_minute=st.sampled_from([0, 1, 6, 60, 600]), in_flight=st.sampled_from([0, 1, 2, 3])
    )
    def begin(self, per_minute, in_flight):
        """Empty, with or without limits."""
        self.limits = Limits(per_minute, in_flight)
        self.state = GateState()
        self.now = NOW
        self.admitted: deque[float] = deque()  # the times of all admissions of the last minute
        self.probes: dict[str, float] = {}  # who probes, unsettled, since when

    @rule(seconds=st.floats(0, 90))
    def time_passes(self, seconds):
        """Up to more than the longest pause."""
        self.now += seconds

    @rule(key=keys, lasts=st.floats(0.1, 600))
    def comes(self, key, lasts):
        """Somebody asks, perhaps one who holds a permit already."""
        breaker = self.state.breaker(self.now)
        self.state, wait = admit(
            self.state, key, self.now, self.limits, expires_at=self.now + lasts
        )
        assert wait >= 0
        if wait:
            return
        assert breaker is not Breaker.OPEN, "admitted while open"
        self.admitted.append(self.now)
        if breaker is Breaker.HALF_OPEN:
            others = [k for k, since in self.probes.items() if self.now - since < PROBE_SECONDS]
            assert set(others) <= {key}, "two probes at once"
            self.probes[key] = self.now

    @precondition(lambda self: self.state.permits)
    @rule(data=st.data(), outcome=outcomes)
    def ends(self, data, outcome):
        """A creation's outcome is told."""
        key = data.draw(st.sampled_from(sorted(self.state.permits)))
        self.state = settle(self.state, key, outcome, self.now, self.limits)
        if self.state.probe != key:
            self.probes.pop(key, None)
        if self.state.open_until is None:
            self.probes.clear()

    @rule(key=keys)
    def leaves(self, key):
        """A prediction is over, or given up."""
        self.state = leave(self.state, key)
        self.probes.pop(key, None)
        assert key not in self.state.permits

    @invariant()
    def is_within_its_bounds(self):
        """In flight, in the last minute, and in the pause."""
        limits = self.limits
        if limits.in_flight:
            assert len(self.state.permits) <= limits.in_flight
        while self.admitted and self.admitted[0] <= self.now - 60:
            self.admitted.popleft()
        if limits.creates_per_minute:
            assert len(self.admitted) <= max(1, limits.creates_per_minute)
        assert self.state.per_minute(self.now, limits) <= (limits.creates_per_minute or math.inf)
        if self.state.breaker(self.now) is Breaker.OPEN:
            assert self.state.open_until - self.now <= THROTTLED_CAP_SECONDS

    @invariant()
    def survives_storage(self):
        """What another process reads is the same."""
        assert GateState.from_json(self.state.as_json()) == self.state

    @rule()
    def lets_everybody_in_once_the_service_is_healthy(self):
        """Nobody waits longer than the pause, a dead probe, the places, and what the rate costs."""
        state, now, limits = self.state, self.now, self.limits
        waiting = [f"late:{n}" for n in range(3)]
        closed = state.open_until is None
        pause = 0.0 if closed else max(state.open_until - now, 0.0)
        probe = max(state.probe_until - now, 0.0)
        places = max((expires - now for _, expires in state.permits.values()), default=0.0)
        rate = state.per_minute(now, limits)
        turns = 0.0 if rate == math.inf else 120.0 + 60 * len(waiting)
        assert pause <= THROTTLED_CAP_SECONDS
        assert probe <= PROBE_SECONDS
        end = now + pause + probe + (places if limits.in_flight else 0.0) + turns + 31
        while waiting:
            state, wait = admit(state, waiting[0], now, limits, expires_at=now + HOUR)
            if wait:
                now += max(wait, 0.05)  # so long does a look take at least
                assert now <= end, "a waiter starves"
                continue
            state = leave(settle(state, waiting[0], CREATED, now, limits), waiting[0])
            assert state.breaker(now) is Breaker.CLOSED
            del waiting[0]


Machine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase


@given(
    per_minute=st.integers(1, 1200),
    pauses=st.lists(st.sampled_from([0.0, 0.05, 0.3, 1.0, 7.0, 61.0]), max_size=400),
)
def test_no_window_sees_more_creations_than_burst_and_rate_allow(per_minute, pauses):
    """However they come: in any stretch of time, of a minute or less or more."""
    state, now, times = GateState(), NOW, []
    limits = Limits(creates_per_minute=per_minute)
    for n, pause in enumerate(pauses):
        now += pause
        state, wait = admit(state, f"t:{n}", now, limits, expires_at=now + HOUR)
        if not wait:
            times.append(now)
    for first in range(0, len(times), 7):
        for count, time in enumerate(times[first:], 1):
            allowed = burst(per_minute) + fill_rate(per_minute) * (time - times[first])
            assert count <= allowed + 1e-6


@pytest.mark.parametrize("faults", range(1, FAULTS_TO_TRIP))
def test_fewer_faults_do_not_trip_and_a_success_in_between_forgets_them(faults):
    """One alone is an accident."""
    state = GateState()
    for _ in range(3):
        for _ in range(faults):
            state = settle(enter(state, "a", NOW), "a", FAULT, NOW, FREE)
        state = settle(enter(state, "a", NOW), "a", CREATED, NOW, FREE)
    assert state.breaker(NOW) is Breaker.CLOSED


def test_as_many_faults_in_a_row_trip():
    """The last of them, and none before."""
    state = GateState()
    for n in range(FAULTS_TO_TRIP):
        assert state.breaker(NOW) is Breaker.CLOSED, n
        state = settle(enter(state, "a", NOW), "a", FAULT, NOW, FREE)
    assert (state.breaker(NOW), state.code) == (Breaker.OPEN, "replicate_unreachable")


def test_the_pause_doubles_with_each_failed_probe_up_to_its_cap():
    """So that the work goes on soon after the service's return."""
    state, now, pauses = shut(), NOW, []
    for _ in range(8):
        pauses.append(state.open_until - now)
        now = state.open_until
        state = settle(enter(state, "a", now), "a", REFUSED, now, FREE)
    assert pauses == [1, 2, 4, 8, *[PAUSE_CAP_SECONDS] * 4]


def test_what_replicate_asks_for_is_kept_within_reason():
    """Of a throttling up to a minute, of a fault up to the cap."""
    for outcome, pause in ((THROTTLED, THROTTLED_CAP_SECONDS), (REFUSED, PAUSE_CAP_SECONDS)):
        asked = replace(outcome, retry_after=100_000)
        assert shut(asked).open_until == NOW + pause


def test_the_place_of_a_dead_probe_expires():
    """Who probes and is never heard of again does not keep the gate shut."""
    state = shut()
    now = state.open_until
    state = enter(state, "dead", now)
    state, wait = admit(state, "b", now + PROBE_SECONDS - 1, FREE, expires_at=NOW + HOUR)
    assert wait
    state = enter(state, "b", now + PROBE_SECONDS + 1)
    assert state.probe == "b"


def test_what_was_admitted_before_the_trip_says_nothing_about_the_time_after():
    """A late success does not open the gate, nor a late failure shut it again."""
    state = enter(GateState(), "late", NOW)
    state = shut(state=state)
    assert settle(state, "late", CREATED, NOW + 1, FREE).breaker(NOW) is Breaker.OPEN
    now = state.open_until
    state = settle(enter(state, "b", now), "b", CREATED, now, FREE)
    assert settle(state, "late", REFUSED, now, FREE).breaker(now) is Breaker.CLOSED


@given(per_minute=st.integers(10, 1200), minutes=st.floats(0, 12))
def test_a_throttling_halves_the_rate_and_it_comes_back_evenly(per_minute, minutes):
    """Half of the limit each minute, so that it is whole again after one."""
    limits = Limits(creates_per_minute=per_minute)
    state = settle(enter(GateState(), "a", NOW + 60, FREE), "a", THROTTLED, NOW + 60, limits)
    before = min(per_minute, PRESUMED_PER_MINUTE)
    expected = min(before / 2 + per_minute * 0.5 * minutes, per_minute)
    assert state.per_minute(NOW + 60 + 60 * minutes, limits) == pytest.approx(expected)
