"""Metrics of what the read models hold, as the projector that leads reads them."""

from __future__ import annotations

from collections.abc import Mapping

from tts.domain.failures import TABLE
from tts.domain.values import Status
from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import PROJECTOR

TASKS = Known("tts_tasks", "Tasks by status, everybody's.", ["status"], registry=PROJECTOR)
DEAD_LETTERS = Known(
    "tts_dead_letters", "Dead letters now, by error code.", ["code"], registry=PROJECTOR
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
