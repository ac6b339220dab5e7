"""Metrics. The core does not know them: each room tells facts to whoever observes it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tts.gate import facts
from tts.gate.state import Breaker
from tts.processor.resources import StepOutcome
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
    """Show what the relay tells after each look at its tasks."""
    for priority, tasks in figures.backlog.items():
        BACKLOG.labels(priority).set(tasks)
    PUBLISHED.set(figures.published)
    UNFINISHED.set(figures.unfinished)
    OLDEST.set(figures.oldest_seconds)
    RESCUES.inc(figures.rescued)
    REBUILDS.inc(figures.rebuilds)


LOST_POSITIONS = Counter(
    "tts_log_lost_positions_total",
    "Positions that this process had seen in the log and that are gone: it went back.",
)


def observe_loss(positions: int) -> None:
    """Count what the log has lost."""
    LOST_POSITIONS.inc(positions)


STORE_AWAY = Gauge(
    "tts_audio_store_away", "1 while this process can store no audio, and pays for nothing new."
)
STORE_WAITING = Gauge(
    "tts_audio_store_waiting",
    "Audio and creations of this process that wait for the audio store.",
)
KEPT_BYTES = Gauge(
    "tts_audio_kept_bytes", "Audio in DATA_DIR that the audio store has not taken yet."
)


def observe_storing(fact: facts.Stores) -> None:
    """Show whether audio can be stored."""
    STORE_AWAY.set(fact.away)
    STORE_WAITING.set(fact.waiting)


def observe_kept(size: int) -> None:
    """Show how many bytes are kept."""
    KEPT_BYTES.set(size)


def observe_gate(fact: facts.Fact) -> None:
    """Show what the gate tells of itself."""
    match fact:
        case facts.Figures():
            for state in Breaker:
                GATE_STATE.labels(state.value).set(state is fact.breaker)
            IN_FLIGHT.set(fact.in_flight)
            CREATES_PER_MINUTE.set(fact.per_minute)
        case facts.Trip():
            GATE_TRIPS.labels(fact.code).inc()
        case facts.Waiting():
            GATE_WAITING.set(fact.count)


def observe_step(outcome: StepOutcome) -> None:
    """Show how a step of the processor went."""
    STEP_SECONDS.labels(outcome.step).observe(outcome.seconds)
    if outcome.code:
        STEP_FAILURES.labels(outcome.step, outcome.code).inc()
