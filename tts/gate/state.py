"""May a prediction be created now? The decision, over one state that all processes share.

Pure: times come in, in seconds by a clock that all processes share. It unites a circuit breaker, a
token bucket of creations that adapts to what Replicate bears, and the permits of what is in flight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

import orjson

FAULTS_TO_TRIP = 5  # in a row: one alone is an accident, and is tried again anyway
PAUSE_CAP_SECONDS = 10.0  # the work goes on within so much of the service's return
THROTTLED_CAP_SECONDS = 60.0  # Replicate counts by the minute
PROBE_SECONDS = 30.0  # after it another may probe: who held the probe has died
POLL_SECONDS = 0.25  # between two looks at what only another process can change
PRESUMED_PER_MINUTE = 600.0  # Replicate's limit, to start from where none is configured
SLOWEST_PER_MINUTE = 1.0
REGAIN_PER_MINUTE = 0.5  # of the limit, each minute after a throttling
NAMED_SECONDS = 300.0  # for which a rate that Replicate named is not exceeded
BURST = 0.1  # of a minute's creations may come at once
ALMOST = 1e-9  # what floating point may lack of a token

Permit = tuple[float, float]  # admitted at, expires at


class Breaker(StrEnum):
    """The circuit breaker's states."""

    CLOSED = "closed"  # creations flow
    OPEN = "open"  # none is tried
    HALF_OPEN = "half-open"  # one is tried, by one processor of all


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows; 0 is no limit."""

    creates_per_minute: int = 0
    in_flight: int = 0


class News(StrEnum):
    """What the outcome of a creation says about the service."""

    CREATED = "created"
    ANSWERED = "answered"  # it refused this one input: it is there
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"  # it refuses us: token, credit, model
    FAULT = "fault"  # it is not there, or broken
    NONE = "none"  # nothing was asked of it


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a creation went; ``per_minute`` is the rate that Replicate named, ``retry_after`` in s.

    ``may_run`` says that a prediction may be in flight although none was reported.
    """

    news: News
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    per_minute: float | None = None
    may_run: bool = False


@dataclass(frozen=True, slots=True)
class GateState:
    """The shared state. ``code`` and ``message`` are those of the last trip."""

    since: float = 0.0  # when the breaker closed, or left that state
    open_until: float | None = None  # None while it is closed; half-open from then on
    code: str = ""
    message: str = ""
    trips: int = 0  # in a row
    failures: int = 0  # in a row
    probe: str = ""  # the key that probes
    probe_until: float = 0.0
    pace: float = 0.0  # creations a minute after a throttling, at ``paced_at``; 0 before any
    paced_at: float = 0.0  # it grows from then on
    tokens: float = 0.0
    filled_at: float = 0.0
    permits: Mapping[str, Permit] = field(default_factory=dict)

    def breaker(self, now: float) -> Breaker:
        """The breaker's state."""
        if self.open_until is None:
            return Breaker.CLOSED
        # No pause is longer: a clock that was put back must not keep the gate shut.
        left = self.open_until - now
        return Breaker.OPEN if 0 < left <= THROTTLED_CAP_SECONDS else Breaker.HALF_OPEN

    def per_minute(self, now: float, limits: Limits) -> float:
        """The creations a minute that are allowed now; infinite where nothing limits them."""
        limit = limits.creates_per_minute or math.inf
        if not self.pace:
            return limit
        full = limits.creates_per_minute or PRESUMED_PER_MINUTE
        pace = self.pace + full * REGAIN_PER_MINUTE * max(now - self.paced_at, 0.0) / 60
        return limit if pace >= full else pace

    def as_json(self) -> bytes:
        """For storage."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, document: bytes) -> GateState:
        """The state from storage, also that of an older or newer version of this class."""
        if not document:
            return cls()
        names = {field.name for field in fields(cls)}
        stored = {name: value for name, value in orjson.loads(document).items() if name in names}
        permits = {key: tuple(permit) for key, permit in stored.get("permits", {}).items()}
        return cls(**{**stored, "permits": permits})


def admit(
    state: GateState, key: str, now: float, limits: Limits, *, expires_at: float
) -> tuple[GateState, float]:
    """Take a permit for ``key`` (0.0), or say after how many seconds it is worth asking again.

    Who holds a permit already takes no second one, but obeys breaker and rate like everybody.
    """
    state = _without_expired(state, now)
    breaker = state.breaker(now)
    if state.open_until is not None and breaker is Breaker.OPEN:
        return state, state.open_until - now
    half_open = breaker is Breaker.HALF_OPEN
    if half_open and state.probe not in {"", key} and 0 < state.probe_until - now <= PROBE_SECONDS:
        return state, POLL_SECONDS
    held = key in state.permits
    if limits.in_flight and not held and len(state.permits) >= limits.in_flight:
        return state, POLL_SECONDS
    state, wait = _take_token(state, now, limits)
    if wait:
        return state, wait
    permits = {**state.permits, key: (now, expires_at)}
    if half_open:
        return replace(state, permits=permits, probe=key, probe_until=now + PROBE_SECONDS), 0.0
    return replace(state, permits=permits), 0.0


def settle(state: GateState, key: str, outcome: Outcome, now: float, limits: Limits) -> GateState:
    """Learn from the outcome of the creation that ``key`` was admitted for.

    While the breaker is not closed, the probe alone tells something new; and when it has closed
    again, creations that were admitted before say nothing about the time after.
    """
    admitted_at = state.permits[key][0] if key in state.permits else now
    if outcome.news is not News.CREATED and not outcome.may_run:
        state = _without(state, key)
    probing = state.open_until is not None
    old = state.probe != key if probing else admitted_at < state.since
    if old:
        return state
    if probing:
        state = replace(state, probe="", probe_until=0.0)
    if outcome.news is News.CREATED or (
        outcome.news is News.ANSWERED and (not probing or state.failures)
    ):
        return _close(state, now)
    if outcome.news is News.FAULT:
        state = replace(state, failures=state.failures + 1)
    if outcome.news is News.THROTTLED:
        state = _slower(state, outcome, now, limits)
    few = outcome.news is News.FAULT and not probing and state.failures < FAULTS_TO_TRIP
    harmless = outcome.news in {News.ANSWERED, News.NONE}
    return state if few or harmless else _trip(state, outcome, now)


def leave(state: GateState, key: str) -> GateState:
    """Give the permit of ``key`` back, and with it a probe of which nothing was heard."""
    state = _without(state, key)
    return replace(state, probe="", probe_until=0.0) if state.probe == key else state


def _close(state: GateState, now: float) -> GateState:
    if state.open_until is not None:
        return replace(state, since=now, open_until=None, trips=0, failures=0)
    return replace(state, failures=0) if state.failures else state


def _trip(state: GateState, outcome: Outcome, now: float) -> GateState:
    throttled = outcome.news is News.THROTTLED
    pause = min(2.0 ** min(state.trips, 10), PAUSE_CAP_SECONDS)
    if outcome.retry_after is not None:
        asked = min(outcome.retry_after, THROTTLED_CAP_SECONDS if throttled else PAUSE_CAP_SECONDS)
        pause = max(asked, 1.0) if throttled else max(asked, pause)
    return replace(
        state,
        since=now if state.open_until is None else state.since,
        open_until=now + pause,
        code=outcome.code,
        message=outcome.message,
        trips=state.trips + 1,
        failures=state.failures if outcome.news is News.FAULT else 0,
    )


def _slower(state: GateState, outcome: Outcome, now: float, limits: Limits) -> GateState:
    """Halve the rate, or take the one that Replicate named; a probe alone proves no rate wrong."""
    present = min(state.per_minute(now, limits), PRESUMED_PER_MINUTE)
    if outcome.per_minute is not None:
        pace, paced_at = min(present, outcome.per_minute), now + NAMED_SECONDS
    elif state.open_until is None:
        pace, paced_at = present / 2, now
    else:
        pace, paced_at = present, now
    return replace(
        state,
        pace=max(pace, SLOWEST_PER_MINUTE),
        paced_at=paced_at,
        tokens=0.0,
        filled_at=now,
    )


def _take_token(state: GateState, now: float, limits: Limits) -> tuple[GateState, float]:
    per_minute = state.per_minute(now, limits)
    if per_minute == math.inf:
        return state, 0.0
    # The rate never falls between two fillings, so that of the last one credits nothing too much.
    before = min(state.per_minute(state.filled_at, limits), per_minute)
    elapsed = max(now - state.filled_at, 0.0)
    tokens = min(state.tokens + fill_rate(before) * elapsed, burst(per_minute))
    if tokens >= 1 - ALMOST:
        return replace(state, tokens=tokens - 1, filled_at=now), 0.0
    state = replace(state, tokens=tokens, filled_at=now)
    return state, (1 - tokens) / fill_rate(per_minute)


def burst(per_minute: float) -> float:
    """How many creations may come at once."""
    return max(1.0, per_minute * BURST)


def fill_rate(per_minute: float) -> float:
    """Tokens a second, so that burst and refill together allow ``per_minute`` in any minute."""
    return (per_minute - burst(per_minute) + 1) / 60


def _without(state: GateState, key: str) -> GateState:
    if key not in state.permits:
        return state
    return replace(state, permits={k: permit for k, permit in state.permits.items() if k != key})


def _without_expired(state: GateState, now: float) -> GateState:
    if all(expires_at > now for _, expires_at in state.permits.values()):
        return state
    held = {key: permit for key, permit in state.permits.items() if permit[1] > now}
    return replace(state, permits=held)
