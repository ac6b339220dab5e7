"""What a processor does next about a task: pure functions of the log's state and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tts.domain.task import Task
from tts.domain.values import Segment

# A creation leaves within FRESH of its intent or the intent is renewed first, and its request is
# given up after the adapter's timeout; once both have passed (and the list had time to show it), a
# prediction that is not in the list will never be there.
INTENT_FRESH = timedelta(seconds=3)
LIST_LAG = timedelta(seconds=2)


# --- what concerns the whole task


@dataclass(frozen=True, slots=True)
class Done:
    """The task is over: forget the message."""


@dataclass(frozen=True, slots=True)
class Yield:
    """Another worker has the task: leave it alone."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Take the task over."""


@dataclass(frozen=True, slots=True)
class Speak:
    """Do what :func:`next_segment_step` says about each of ``segments``, several at once."""

    segments: list[int]


@dataclass(frozen=True, slots=True)
class StoreAudio:
    """Every segment's audio is there: store the whole and finish."""


@dataclass(frozen=True, slots=True)
class Expire:
    """The deadline has passed: stop what runs upstream and fail."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what runs upstream and confirm the cancellation."""


Step = Done | Yield | Claim | Speak | StoreAudio | Expire | Cancel


# --- what concerns one segment


@dataclass(frozen=True, slots=True)
class Start:
    """Fetch the template and record the intent to create the prediction."""


@dataclass(frozen=True, slots=True)
class Settle:
    """An earlier worker may have created the prediction: look before creating one."""

    intent_at: datetime


@dataclass(frozen=True, slots=True)
class Create:
    """Create the prediction, now that the intent is in the log."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Wait for the prediction to end."""

    prediction_id: str


@dataclass(frozen=True, slots=True)
class Download:
    """Fetch the output."""

    output_url: str


SegmentStep = Start | Settle | Create | Poll | Download


def name_of(kind: type[Step | SegmentStep]) -> str:
    """What failures and metrics call a step of this kind."""
    return "audio" if kind is StoreAudio else kind.__name__.lower()


def next_step(task: Task, lease: int | None, now: datetime) -> Step:
    """The next step for the worker that holds ``lease`` (None: it has not claimed the task yet)."""
    if task.final:
        return Done()
    if task.cancel_requested:
        return Cancel()
    if lease is None:
        return Claim()
    if not task.claimed or task.lease != lease:
        return Yield()
    missing = [i for i, segment in enumerate(task.segments) if not segment.downloaded]
    if not missing:
        return StoreAudio()
    # What is paid for and finished is delivered even if it is late; nothing new is begun.
    spoken = all(task.segments[i].output_url is not None for i in missing)
    return Speak(missing) if spoken or now < task.deadline_at else Expire()


def next_segment_step(task: Task, index: int, lease: int, now: datetime) -> SegmentStep | None:
    """The next step for a segment of a claimed task; None when nothing more is to be done."""
    segment = task.segments[index]
    if segment.downloaded:
        return None
    if segment.output_url is not None:
        return Download(segment.output_url)
    if now >= task.deadline_at:
        return None
    if segment.prediction_id is not None:
        return Poll(segment.prediction_id)
    return _way_to_a_prediction(segment, lease, now)


def _way_to_a_prediction(segment: Segment, lease: int, now: datetime) -> SegmentStep:
    if segment.intent_at is None:
        return Start()
    if segment.intent_lease != lease:
        return Settle(segment.intent_at)
    if now - segment.intent_at > INTENT_FRESH:
        return Start()
    return Create()
