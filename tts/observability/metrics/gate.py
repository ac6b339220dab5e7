"""Metrics of the gate before Replicate, as a process that has one sees it."""

from __future__ import annotations

from prometheus_client import Counter

from tts.domain.failures import TABLE, Treatment
from tts.gate import facts
from tts.gate.state import Breaker
from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import GATE

STATE = Known(
    "tts_gate_state",
    "1 for the state of the breaker before Replicate, 0 for the others.",
    ["state"],
    registry=GATE,
)
IN_FLIGHT = Known(
    "tts_predictions_in_flight", "Predictions that run, of all processes.", registry=GATE
)
CREATES_PER_MINUTE = Known(
    "tts_gate_creates_per_minute",
    "Creations that the gate allows now; infinite without a limit.",
    registry=GATE,
)
WAITING = Known(
    "tts_gate_waiting", "Creations of this process that wait before the gate.", registry=GATE
)
TRIPS = Counter(
    "tts_gate_trips_total",
    "Times that this process tripped the breaker, by error code.",
    ["reason"],
    registry=GATE,
)
for (_code, _step), _row in TABLE.items():
    if _step == "create" and _row.treatment is not Treatment.PERMANENT:
        TRIPS.labels(_code)


def observe_gate(fact: facts.Fact) -> None:
    """Show what the gate tells of itself."""
    match fact:
        case facts.Figures():
            STATE.replace({state.value: float(state is fact.breaker) for state in Breaker})
            IN_FLIGHT.set(fact.in_flight)
            CREATES_PER_MINUTE.set(fact.per_minute)
        case facts.Trip():
            TRIPS.labels(fact.code).inc()
        case facts.Waiting():
            WAITING.set(fact.count)


def forget_gate() -> None:
    """What all share is not known: the store does not answer."""
    for gauge in (STATE, IN_FLIGHT, CREATES_PER_MINUTE):
        gauge.forget()
