"""Metrics of the read models, as the projector that leads knows: what they hold, and their lag."""

from __future__ import annotations

from collections.abc import Mapping

from tts.domain.failures import TABLE
from tts.domain.values import Status
from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import PROJECTOR
from tts.wire import Lag

TASKS = Known("tts_tasks", "Tasks by status, everybody's.", ["status"], registry=PROJECTOR)
DEAD_LETTERS = Known(
    "tts_dead_letters", "Dead letters now, by error code.", ["code"], registry=PROJECTOR
)

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

CODES = frozenset(code for code, _ in TABLE)


def observe_lists(tasks: Mapping[str, int], dead_letters: Mapping[str, int]) -> None:
    """Show what they hold."""
    TASKS.replace({status.value: float(tasks.get(status, 0)) for status in Status})
    DEAD_LETTERS.replace(
        {code: float(dead_letters.get(code, 0)) for code in CODES | {*dead_letters}}
    )


def forget_lists() -> None:
    """This process leads no longer, or cannot read them."""
    TASKS.forget()
    DEAD_LETTERS.forget()


def observe_lags(lags: Mapping[str, Lag | None]) -> None:
    """Show how far each read model is behind, by name; None: nobody knows."""
    known = {name: lag for name, lag in lags.items() if lag is not None}
    LAG_SECONDS.replace({name: lag["seconds"] for name, lag in known.items()})
    LAG_EVENTS.replace({name: float(lag["events"] or 0) for name, lag in known.items()})
