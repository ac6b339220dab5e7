"""Logs and metrics. The core knows neither: it logs through :mod:`logging` and takes hooks."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tts.gate.state import Breaker
from tts.relay.rescue import Figures

STEP_SECONDS = Histogram(
    "tts_step_seconds",
    "Time that a processor spent on one step of a task, waiting included.",
    ["step"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1500),
)
STEP_FAILURES = Counter(
    "tts_step_failures_total", "Steps that failed, by error code.", ["step", "code"]
)

GATE_STATE = Gauge(
    "tts_gate_state",
    "1 for the state of the breaker before Replicate, 0 for the others.",
    ["state"],
)
GATE_TRIPS = Counter(
    "tts_gate_trips_total",
    "Times that this process tripped the breaker, by error code.",
    ["reason"],
)
GATE_WAITING = Gauge("tts_gate_waiting", "Creations of this process that wait before the gate.")
IN_FLIGHT = Gauge("tts_predictions_in_flight", "Predictions that run, of all processes.")
CREATES_PER_MINUTE = Gauge(
    "tts_gate_creates_per_minute",
    "Creations that the gate allows now; infinite without a limit.",
)

BACKLOG = Gauge(
    "tts_backlog_tasks", "Tasks that wait for their turn in the relay, by priority.", ["priority"]
)
PUBLISHED = Gauge("tts_published_tasks", "Tasks whose message no processor has taken yet.")
UNFINISHED = Gauge("tts_unfinished_tasks", "Tasks that are not over, as the relay sees them.")
OLDEST = Gauge("tts_oldest_unfinished_seconds", "Age of the oldest task that is not over.")
RESCUES = Counter("tts_rescued_tasks_total", "Tasks that got another message: theirs was lost.")
REBUILDS = Counter("tts_queue_rebuilds_total", "Times that a queue was filled from the log.")


def observe_relay(figures: Figures) -> None:
    """Hook of the relay, called after each look at the tasks."""
    for priority, tasks in figures.backlog.items():
        BACKLOG.labels(priority).set(tasks)
    PUBLISHED.set(figures.published)
    UNFINISHED.set(figures.unfinished)
    OLDEST.set(figures.oldest_seconds)
    RESCUES.inc(figures.rescued)
    REBUILDS.inc(figures.rebuilds)


class GateMetrics:
    """Hooks of the gate, see :class:`tts.gate.gate.GateWatch`."""

    def seen(self, breaker: Breaker, in_flight: int, per_minute: float) -> None:
        """The shared state, as this process last saw it."""
        for state in Breaker:
            GATE_STATE.labels(state.value).set(state is breaker)
        IN_FLIGHT.set(in_flight)
        CREATES_PER_MINUTE.set(per_minute)

    def tripped(self, code: str) -> None:
        """This process tripped the breaker."""
        GATE_TRIPS.labels(code).inc()

    def waiting(self, count: int) -> None:
        """Creations of this process that wait."""
        GATE_WAITING.set(count)


def observe_step(step: str, seconds: float, code: str) -> None:
    """Hook of the processor: ``code`` is the error's, empty for a step that went well."""
    STEP_SECONDS.labels(step).observe(seconds)
    if code:
        STEP_FAILURES.labels(step, code).inc()
