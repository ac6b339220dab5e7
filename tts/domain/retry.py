"""What to do about a failed step: a pure decision, made from the failure, the task and the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from tts.domain.failures import StepError, Treatment
from tts.domain.task import Task
from tts.domain.values import GiveUp, RetryLater, TaskError

GRID_UNIT_SECONDS = 0.1
PROPORTIONAL_JITTER = 0.25
# Between two tries that no gate holds back while an operator has to act: doubled from the first to
# the second, so that tasks go on within seconds of the repair.
PAUSE_SECONDS = (5.0, 30.0)
RETRY_AFTER_CAP_SECONDS = 600.0
SUSPECT_TRUNCATION = "suspect_truncation"
SUSPECT_AUDIO = "suspect_audio"
_SUSPICIONS = {SUSPECT_TRUNCATION, SUSPECT_AUDIO}  # one of them, once, costs a prediction
# What Replicate has spoken is there for so long; behind that nothing is left to wait for.
OUTPUT_KEPT = timedelta(hours=1)
MAX_CREATIONS = 3  # the first prediction of a segment, and at most two in place of lost ones


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff; times in seconds."""

    initial: float
    multiplier: float
    maximum: float
    jitter: Literal["none", "proportional", "full"]

    def delay(self, attempt: int, random: Callable[[], float]) -> float:
        """How long to wait after the failure of ``attempt`` (from 1), on the grid.

        ``full`` draws from nothing to the exponential value, ``proportional`` adds up to a quarter
        to it.
        """
        exponent = min(attempt - 1, 64)  # keeps the power a float whatever the number of attempts
        base = min(self.initial * self.multiplier**exponent, self.maximum)
        if self.jitter == "full":
            base *= random()
        elif self.jitter == "proportional":
            base = min(base * (1 + PROPORTIONAL_JITTER * random()), self.maximum)
        return on_grid(base)


def decide(
    task: Task,
    segment: int | None,
    failure: StepError,
    policy: RetryPolicy,
    *,
    creating: bool,
    now: datetime,
    random: Callable[[], float],
) -> RetryLater | GiveUp:
    """Turn a failure at ``segment`` (None: not about one) into the event to append.

    ``creating`` says that the failed step was the creation itself. Only then can its refusal settle
    an intent: whatever else fails, a creation that is in doubt stays in doubt.
    """
    error = TaskError(failure.code, failure.step, _where(task, segment) + failure.message)
    treatment, row = failure.treatment, failure.failure
    refused = creating and treatment is not Treatment.AMBIGUOUS
    settled = [segment] if refused and segment is not None else []
    abandoned = [segment] if row.worthless and segment is not None else []
    give_up = partial(GiveUp, abandoned=abandoned, settled=settled)
    if row.new_prediction and segment is not None and creations(task, segment) > row.replacements:
        return give_up(error, permanent=False)
    if treatment is Treatment.PERMANENT:
        return give_up(error, permanent=True)
    if row.costs_attempt and task.attempt >= task.max_attempts:
        return give_up(error, permanent=False)
    delay = policy.delay(task.attempt, random)
    if row.pauses:
        first, longest = PAUSE_SECONDS
        pause = min(first * 2.0 ** min(_in_a_row(task, failure), 64), longest, policy.maximum)
        delay = on_grid(pause)
    if failure.retry_after is not None:
        delay = max(delay, on_grid(min(failure.retry_after, RETRY_AFTER_CAP_SECONDS)))
    if now + timedelta(seconds=delay) >= ends_at(task, failure):
        late = TaskError(
            "deadline_exceeded",
            "deadline",
            f"no time is left for another try; the last failure was {error.code} at {error.step}: "
            f"{error.message}",
        )
        return give_up(late, permanent=False)
    return RetryLater(
        error,
        task.attempt + row.costs_attempt,
        delay,
        abandoned=abandoned,
        settled=settled,
        suspected=abandoned if abandoned and failure.code in _SUSPICIONS else None,
    )


def ends_at(task: Task, failure: StepError) -> datetime:
    """Until when the task may wait after the failure: its deadline, while anything is unpaid.

    What is paid for outlasts a service that does not answer, or that an operator has to mend.
    """
    if failure.failure.costs_attempt or not task.spoken:
        return task.deadline_at
    if failure.step == "audio":
        return datetime.max.replace(tzinfo=UTC)
    return task.deadline_at + OUTPUT_KEPT


def combine(decisions: Sequence[RetryLater | GiveUp]) -> RetryLater | GiveUp:
    """One event for the failures of several segments: the gravest decides, the rest is kept.

    Permanent before given up before the longest delay; an attempt is used up if one of them does.
    """
    if len(decisions) == 1:
        return decisions[0]
    abandoned = sorted({index for decision in decisions for index in decision.abandoned})
    settled = sorted({index for decision in decisions for index in decision.settled})
    given_up = [decision for decision in decisions if isinstance(decision, GiveUp)]
    if given_up:
        gravest = max(given_up, key=lambda decision: decision.permanent)
        return replace(gravest, abandoned=abandoned, settled=settled)
    later = [decision for decision in decisions if isinstance(decision, RetryLater)]
    return replace(
        max(later, key=lambda decision: decision.delay),
        attempt=max(decision.attempt for decision in later),
        abandoned=abandoned,
        settled=settled,
        suspected=sorted({index for decision in later for index in decision.suspected or ()})
        or None,
    )


def creations(task: Task, segment: int) -> int:
    """How many predictions were made for the segment since a person last asked for it."""
    state = task.segments[segment]
    return state.creations - state.creations_before


def _in_a_row(task: Task, failure: StepError) -> int:
    """How often the task failed in just this way up to now, with nothing else in between."""
    last = task.error
    same = last is not None and (last.code, last.step) == (failure.code, failure.step)
    return task.repeats if same else 0


def _where(task: Task, segment: int | None) -> str:
    total = len(task.segments)
    return f"segment {segment + 1} of {total}: " if segment is not None and total > 1 else ""


def on_grid(seconds: float) -> float:
    """Round up to 1, 1.25, 1.5 or 1.75 times a power of two of 100 ms.

    RabbitMQ holds a delayed message in a queue of one constant TTL, so every distinct delay is a
    queue of its own; on this grid some sixty of them reach from 100 ms to an hour.
    """
    units = max(seconds / GRID_UNIT_SECONDS, 1.0)
    power = math.floor(math.log2(units))
    quarters = math.ceil(round(units / 2**power * 4, 9))
    return float(round(quarters / 4 * 2**power * GRID_UNIT_SECONDS, 6))
