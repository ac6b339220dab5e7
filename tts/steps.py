"""What a processor does next about a task: a pure function of the log's state and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tts.domain import Segment, Task

# A creation leaves within FRESH of its intent or the intent is renewed first, and its request is
# given up after the adapter's timeout; once both have passed (and the list had time to show it), a
# prediction that is not in the list will never be there.
INTENT_FRESH = timedelta(seconds=5)
LIST_LAG = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Done:
    """The task is over: forget the message."""


@dataclass(frozen=True, slots=True)
class Yield:
    """Another worker has the task: leave it alone."""


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """The retry is not due before ``due_at``."""

    due_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """Take the task over."""


@dataclass(frozen=True, slots=True)
class Start:
    """Fetch the template and record the intent to create predictions for ``segments``."""

    segments: list[int]


@dataclass(frozen=True, slots=True)
class Settle:
    """An earlier worker may have created the segment's prediction: look before creating one."""

    segment: int
    intent_at: datetime


@dataclass(frozen=True, slots=True)
class Create:
    """Create the segment's prediction, now that the intent is in the log."""

    segment: int


@dataclass(frozen=True, slots=True)
class Poll:
    """Wait for the segment's prediction to end."""

    segment: int
    prediction_id: str


@dataclass(frozen=True, slots=True)
class Download:
    """Fetch the segment's output."""

    segment: int
    output_url: str


@dataclass(frozen=True, slots=True)
class Store:
    """Store the whole audio and finish."""


@dataclass(frozen=True, slots=True)
class Expire:
    """The deadline has passed: stop what runs upstream and fail."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what runs upstream and confirm the cancellation."""


Step = (
    Done
    | Yield
    | WaitUntil
    | Claim
    | Start
    | Settle
    | Create
    | Poll
    | Download
    | Store
    | Expire
    | Cancel
)


def next_step(task: Task, lease: int | None, now: datetime) -> Step:
    """The next step for the worker that holds ``lease`` (None: it has not claimed the task yet)."""
    if task.final:
        return Done()
    if task.cancel_requested:
        return Cancel()
    if lease is None:
        if task.due_at is not None and now < task.due_at:
            return WaitUntil(task.due_at)
        return Claim()
    if not task.claimed or task.lease != lease:
        return Yield()
    return _next_for_segments(task, lease, now)


def _next_for_segments(task: Task, lease: int, now: datetime) -> Step:  # noqa: PLR0911
    for index, segment in enumerate(task.segments):
        if segment.downloaded:
            continue
        if segment.output_url is not None:
            return Download(index, segment.output_url)
        # What is paid for and finished is delivered even if it is late; nothing new is begun.
        if now >= task.deadline_at:
            return Expire()
        if segment.prediction_id is not None:
            return Poll(index, segment.prediction_id)
        if segment.intent_at is None:
            return Start([i for i, s in enumerate(task.segments) if _untouched(s)])
        if segment.intent_lease != lease:
            return Settle(index, segment.intent_at)
        if now - segment.intent_at > INTENT_FRESH:
            return Start([index])
        return Create(index)
    return Store()


def _untouched(segment: Segment) -> bool:
    return segment.intent_at is None and segment.prediction_id is None
