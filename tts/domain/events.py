"""The catalogue of events: what can have happened to a task, in the order of its life.

An event's ``apply`` only assigns, because it also runs at replay, where a guard tightened later
would break old logs. The topics and the names of the fields stand in every log that was ever
written: a field can be added (with a default), and none can be renamed or removed.

The ``…Facts`` beside an event are what its command is told; the task adds the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NotRequired, Self, TypedDict

from eventsourcing.domain import Aggregate
from eventsourcing.utils import resolve_topic

from tts.domain.values import Priority, Status, TaskError

if TYPE_CHECKING:
    from tts.domain.task import Task


class Event(Aggregate.Event):
    """Base of every event; ``timestamp`` is UTC."""


class Ending(Event):
    """One that a task is over with; ``callback_url`` is whom to tell, if anybody."""

    def __post_init__(self) -> None:
        """Stay as it was, if nobody is to be told."""
        _leave_out(self, callback_url=None)


class Created(Aggregate.Created):
    """Never triggered: the library defines one anyway, and then wants a topic for it."""

    TOPIC = "tts.task.created"


class RequestedFacts(TypedDict):
    """``segments`` are ``[start, end)`` ranges that cover the text.

    ``cleanup`` is whether what is no speech is left out of what is sent; None in a log from before
    that was decided on: there the text is sent as it is. ``audio_suffix`` is the random part of its
    audio's names; None in a log from before they had one. ``callback_url`` is whom to tell when the
    task is over, if anybody. ``audio_format`` is what its audio is to be, if the request said so,
    and else ``default_format``; it is WAV where neither is said. ``traceparent`` is the
    span in which it was asked for, if known.
    """

    template_id: str
    text_hash: str
    text_length: int
    segments: list[list[int]]
    owner: str
    max_attempts: int
    deadline_at: datetime
    idempotency_key: str | None
    priority: NotRequired[str]
    cleanup: NotRequired[bool]
    audio_suffix: NotRequired[str]
    callback_url: NotRequired[str | None]
    audio_format: NotRequired[str | None]
    default_format: NotRequired[str | None]
    traceparent: NotRequired[str | None]


class Requested(Created):
    """The gateway accepted the request; the text itself stands in ``payloads``."""

    TOPIC = "tts.task.requested"
    template_id: str
    text_hash: str
    text_length: int
    segments: list[list[int]]
    owner: str
    max_attempts: int
    deadline_at: datetime
    idempotency_key: str | None
    priority: str = Priority.NORMAL.value
    cleanup: bool | None = None
    audio_suffix: str | None = None
    callback_url: str | None = None
    audio_format: str | None = None
    default_format: str | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        """Stay as it was, if it is one from before."""
        _leave_out(
            self,
            cleanup=None,
            audio_suffix=None,
            callback_url=None,
            audio_format=None,
            default_format=None,
            traceparent=None,
        )

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """One with these fields, taken at once; the library would set each by itself."""
        event = cls.__new__(cls)
        vars(event).update(fields)
        event.__post_init__()
        return event

    def mutate(self, _: Any) -> Any:
        """The new task, without the library's look at signatures: accepting is a hot path."""
        kind = resolve_topic(self.originator_topic)
        task = kind.__new__(kind)
        task.__base_init__(self.originator_id, self.originator_version, self.timestamp)
        task.__init__(self)
        return task


class Queued(Event):
    """The broker confirmed the message that asks a processor to work on this attempt.

    ``queue_position`` counts those with the broker up to this one, and ``estimated_wait_ms`` is
    what the client was told then; None where nobody knew.
    """

    TOPIC = "tts.task.queued"
    attempt: int
    queue_position: int | None = None
    estimated_wait_ms: int | None = None

    def __post_init__(self) -> None:
        """Stay as it was, if it is one from before."""
        _leave_out(self, queue_position=None, estimated_wait_ms=None)

    def apply(self, task: Task) -> None:
        task.status = Status.QUEUED
        task.unqueued = False


class Dequeued(Event):
    """A worker claimed the task; a higher lease fences every earlier worker."""

    TOPIC = "tts.task.dequeued"
    attempt: int
    worker: str
    lease: int

    def apply(self, task: Task) -> None:
        task.status = Status.DEQUEUED
        _claim(task, self.worker, self.lease)


class ProcessingStartedFacts(TypedDict):
    """The template, and the segments of which a prediction is about to be created."""

    transcript_hash: str
    audio_url: str
    audio_etag: str | None
    segments: list[int]


class ProcessingStarted(Event):
    """The template is at hand, and a prediction is about to be created for ``segments``."""

    TOPIC = "tts.task.processing_started"
    attempt: int
    transcript_hash: str
    audio_url: str
    audio_etag: str | None
    segments: list[int]
    total: int = 1

    def apply(self, task: Task) -> None:
        task.status = Status.PROCESSING
        task.audio_url = self.audio_url
        for index in self.segments:
            segment = task.segments[index]
            if segment.intent_at is None:
                segment.creations += 1
            segment.intent_at = self.timestamp
            segment.intent_lease = task.lease


class PredictionCreatedFacts(TypedDict):
    """``found`` says that Replicate's list told of the prediction, and not its own answer."""

    segment: int
    prediction_id: str
    model_version: str
    found: bool


class PredictionCreated(Event):
    """Replicate answered with an id, or the list showed the one that was created."""

    TOPIC = "tts.task.prediction_created"
    attempt: int
    segment: int
    prediction_id: str
    model_version: str
    found: bool
    total: int = 1

    def apply(self, task: Task) -> None:
        task.status = Status.PREDICTION_CREATED
        segment = task.segments[self.segment]
        segment.intent_at = None
        segment.prediction_id = self.prediction_id


class DownloadStartedFacts(TypedDict):
    """``predict_time`` is in seconds, as Replicate bills it."""

    segment: int
    predict_time: float | None
    output_url: str


class DownloadStarted(Event):
    """The prediction succeeded and its output is about to be fetched."""

    TOPIC = "tts.task.download_started"
    attempt: int
    segment: int
    predict_time: float | None
    output_url: str
    total: int = 1

    def apply(self, task: Task) -> None:
        task.status = Status.DOWNLOADING
        segment = task.segments[self.segment]
        segment.predict_time = self.predict_time
        segment.output_url = self.output_url


class DownloadCompletedFacts(TypedDict):
    """``part`` is the key of the stored part.

    ``size`` (bytes), ``sha256`` and ``duration`` (seconds) are those of the audio as it is stored:
    a WAV of 16-bit PCM, from which a task's only segment may be encoded afterwards. In logs from
    before that was the rule, of a task's only segment and of parts they are those of the output as
    it came.
    """

    segment: int
    size: int
    sha256: str
    duration: float | None
    part: NotRequired[str | None]
    suspect: NotRequired[bool]
    suspect_audio: NotRequired[bool]


class DownloadCompleted(Event):
    """The whole output arrived and is audio.

    Of several segments each is stored as a ``part`` of its own until they are joined. Although they
    were spoken twice, ``suspect`` ones are too short for their text, and ``suspect_audio`` ones are
    silent, or of samples that are no numbers.
    """

    TOPIC = "tts.task.download_completed"
    attempt: int
    segment: int
    size: int
    sha256: str
    duration: float | None
    part: str | None = None
    suspect: bool = False
    suspect_audio: bool = False
    total: int = 1

    def __post_init__(self) -> None:
        """Stay as it was, if it is one from before."""
        _leave_out(self, suspect_audio=False)

    def apply(self, task: Task) -> None:
        task.status = Status.DOWNLOAD_COMPLETE
        segment = task.segments[self.segment]
        segment.part = self.part
        segment.suspect = self.suspect or self.suspect_audio
        segment.size = self.size
        segment.sha256 = self.sha256
        segment.duration = self.duration


class SucceededFacts(TypedDict):
    """``size`` in bytes, ``duration`` in seconds."""

    object_key: str
    size: int
    duration: float | None


class Succeeded(Ending):
    """The audio is stored under ``object_key``."""

    TOPIC = "tts.task.succeeded"
    attempt: int
    object_key: str
    size: int
    duration: float | None
    predict_time: float
    predictions: int
    suspects: list[int] | None = None
    callback_url: str | None = None

    def apply(self, task: Task) -> None:
        task.status = Status.SUCCEEDED
        task.object_key = self.object_key
        task.size = self.size
        task.duration = self.duration
        task.completed_at = self.timestamp
        task.error = None


class RetryScheduled(Event):
    """The attempt ended without a result; ``attempt`` is the one that starts at ``due_at``.

    See :class:`~tts.domain.values.RetryLater`. An intent that is not settled stays open.
    """

    TOPIC = "tts.task.retry_scheduled"
    attempt: int
    code: str
    step: str
    message: str
    delay: float
    due_at: datetime
    abandoned: list[int]
    settled: list[int]
    suspected: list[int] | None = None

    def apply(self, task: Task) -> None:
        task.status = Status.WAITING_RETRY
        task.attempt = self.attempt
        task.claimed = False
        task.due_at = self.due_at
        last = task.error
        same = last is not None and (last.code, last.step) == (self.code, self.step)
        task.repeats = task.repeats + 1 if same else 1
        task.error = TaskError(self.code, self.step, self.message)
        _release(task, self.abandoned, self.settled)
        for index in self.suspected or ():
            task.segments[index].suspected = True


class RetryStarted(Event):
    """The delay is over and a worker claimed the task for its next attempt."""

    TOPIC = "tts.task.retry_started"
    attempt: int
    worker: str
    lease: int

    def apply(self, task: Task) -> None:
        task.status = Status.RETRYING
        _claim(task, self.worker, self.lease)


class RetryRequested(Event):
    """A person asked for another round: the attempts count from one again."""

    TOPIC = "tts.task.retry_requested"
    by: str
    reason: str
    deadline_at: datetime

    def apply(self, task: Task) -> None:
        task.status = Status.RETRYING
        task.attempt = 1
        task.unqueued = True
        task.deadline_at = self.deadline_at
        task.completed_at = None
        for segment in task.segments:
            segment.creations_before = segment.creations
        task.dismissed_at = None


class Failed(Ending):
    """No attempt is left (``permanent`` false), or none could help (``permanent`` true)."""

    TOPIC = "tts.task.failed"
    attempt: int
    code: str
    step: str
    message: str
    permanent: bool
    abandoned: list[int]
    settled: list[int]
    callback_url: str | None = None

    def apply(self, task: Task) -> None:
        task.status = Status.FAILED
        task.claimed = False
        task.error = TaskError(self.code, self.step, self.message)
        task.completed_at = self.timestamp
        _release(task, self.abandoned, self.settled)


class Dismissed(Event):
    """A person has seen the failure and let it be: it is no dead letter any more."""

    TOPIC = "tts.task.dismissed"
    by: str
    reason: str

    def apply(self, task: Task) -> None:
        task.dismissed_at = self.timestamp


class CancelRequested(Event):
    """Somebody wants the task stopped; a processor cancels upstream and confirms."""

    TOPIC = "tts.task.cancel_requested"
    by: str
    reason: str

    def apply(self, task: Task) -> None:
        task.status = Status.CANCELING
        task.due_at = None
        task.cancel_by = self.by
        task.cancel_reason = self.reason


class Canceled(Ending):
    """The task is over and nothing runs for it any more."""

    TOPIC = "tts.task.canceled"
    by: str
    reason: str
    callback_url: str | None = None

    def apply(self, task: Task) -> None:
        task.status = Status.CANCELED
        task.completed_at = self.timestamp


class Erased(Event):
    """The words and the audio go; ``status`` is the one that the task ended in and keeps."""

    TOPIC = "tts.task.erased"
    by: str
    status: str

    def apply(self, task: Task) -> None:
        task.object_key = None
        task.erased_at = self.timestamp


def _leave_out(event: Event | Created, **defaults: Any) -> None:
    """Leave out younger fields that say nothing: an event from before is stored as it was."""
    fields = vars(event)
    for name, default in defaults.items():
        if fields.get(name, default) == default:
            fields.pop(name, None)


def _claim(task: Task, worker: str, lease: int) -> None:
    task.worker = worker
    task.lease = lease
    task.claimed = True
    task.due_at = None


def _release(task: Task, abandoned: list[int], settled: list[int]) -> None:
    for index in abandoned:
        task.segments[index].abandon()
    for index in settled:
        task.segments[index].intent_at = None
