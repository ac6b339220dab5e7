"""Metrics of a processor."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tts.domain.failures import TABLE
from tts.gate import facts
from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import PROCESSOR
from tts.processor.resources import StepOutcome

STEP_SECONDS = Histogram(
    "tts_step_seconds",
    "Time that a processor spent on one step of a task, waiting included.",
    ["step"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1500),
    registry=PROCESSOR,
)
STEP_FAILURES = Counter(
    "tts_step_failures_total",
    "Steps that failed, by error code.",
    ["step", "code"],
    registry=PROCESSOR,
)
# Under which of a processor's steps a failure can come that has another name in the table.
_MET_AT = {
    "template": ("start", "create"),
    "request": ("start", "create", "audio"),
    "find": ("settle", "cancel"),
    "audio": ("audio", "download"),
    "deadline": ("expire",),
}
for _code, _step in TABLE:
    for _met_at in _MET_AT.get(_step, (_step,)):
        STEP_FAILURES.labels(_met_at, _code)
        STEP_SECONDS.labels(_met_at)

STORE_AWAY = Gauge(
    "tts_audio_store_away",
    "1 while this process can store no audio, and pays for nothing new.",
    registry=PROCESSOR,
)
STORE_WAITING = Gauge(
    "tts_audio_store_waiting",
    "Audio and creations of this process that wait for the audio store.",
    registry=PROCESSOR,
)
KEPT_BYTES = Gauge(
    "tts_audio_kept_bytes",
    "Audio in DATA_DIR that the audio store has not taken yet.",
    registry=PROCESSOR,
)


PLACES = Known("tts_places", "Tasks that this processor works on at most.", registry=PROCESSOR)
BUSY = Known("tts_places_busy", "Tasks that this processor works on.", registry=PROCESSOR)

PRICE = Known(
    "tts_price_per_second",
    "What a second of a prediction costs, as REPLICATE_PRICE_PER_SECOND says.",
    registry=PROCESSOR,
)


def observe_places(busy: int, places: int) -> None:
    """Show how many places are taken."""
    BUSY.set(busy)
    PLACES.set(places)


def observe_step(outcome: StepOutcome) -> None:
    """Show how a step of the processor went."""
    STEP_SECONDS.labels(outcome.step).observe(outcome.seconds)
    if outcome.code:
        STEP_FAILURES.labels(outcome.step, outcome.code).inc()


def observe_storing(fact: facts.Stores) -> None:
    """Show whether audio can be stored."""
    STORE_AWAY.set(fact.away)
    STORE_WAITING.set(fact.waiting)


def observe_kept(size: int) -> None:
    """Show how many bytes are kept."""
    KEPT_BYTES.set(size)
