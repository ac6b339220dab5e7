"""Metrics of the callbacks: what tells clients that their tasks are over."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from tts.callbacks.delivery import CallbackFigures
from tts.ports.callbacks import CallbackState

ATTEMPTS = Counter(
    "tts_callback_attempts_total",
    "Callbacks that were sent: delivered, to be retried, or given up (failed).",
    ["outcome"],
)
CALLBACKS = Gauge(
    "tts_callbacks", "Callbacks in each state, as the process that sends them sees it.", ["state"]
)
for _outcome in ("delivered", "retried", "failed"):
    ATTEMPTS.labels(_outcome)


def observe_callbacks(figures: CallbackFigures) -> None:
    """Show how an attempt went, or how many there are."""
    if figures.outcome is not None:
        ATTEMPTS.labels(figures.outcome).inc()
    if figures.counts is not None:
        for state in CallbackState:
            CALLBACKS.labels(state.value).set(figures.counts.get(state, 0))
