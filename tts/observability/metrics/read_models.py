"""Metrics of how far each read model is behind the log, as the projector that leads knows."""

from __future__ import annotations

from collections.abc import Mapping

from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import PROJECTOR
from tts.wire import Lag

LAG_SECONDS = Known(
    "tts_read_model_lag_seconds",
    "Age of the next event that the read model has to take in.",
    ["model"],
    registry=PROJECTOR,
)
LAG_EVENTS = Known(
    "tts_read_model_lag_events",
    "Events that the read model is behind the log.",
    ["model"],
    registry=PROJECTOR,
)


def observe_read_models(lags: Mapping[str, Lag | None]) -> None:
    """Show those by name; None: nobody knows."""
    known = {name: lag for name, lag in lags.items() if lag is not None}
    LAG_SECONDS.replace({name: lag["seconds"] for name, lag in known.items()})
    LAG_EVENTS.replace({name: float(lag["events"] or 0) for name, lag in known.items()})
