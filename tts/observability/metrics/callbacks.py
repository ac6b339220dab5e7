"""Metrics of the callbacks, which tell clients that tasks are over: in the relay's process."""

from __future__ import annotations

from prometheus_client import Counter

from tts.callbacks.delivery import CallbackFigures
from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import RELAY
from tts.ports.callbacks import CallbackState

ATTEMPTS = Counter(
    "tts_callback_attempts_total",
    "Callbacks that were sent: delivered, to be retried, or given up (failed).",
    ["outcome"],
    registry=RELAY,
)
CALLBACKS = Known(
    "tts_callbacks",
    "Callbacks in each state; those of the last 30 days, and all that are pending.",
    ["state"],
    registry=RELAY,
)
for _outcome in ("delivered", "retried", "failed"):
    ATTEMPTS.labels(_outcome)


def observe_callbacks(figures: CallbackFigures | None) -> None:
    """Show how an attempt went, or how many there are; None when others deliver."""
    if figures is None:
        CALLBACKS.forget()
        return
    if figures.outcome is not None:
        ATTEMPTS.labels(figures.outcome).inc()
    if figures.counts is not None:
        CALLBACKS.replace({state.value: figures.counts.get(state, 0) for state in CallbackState})
