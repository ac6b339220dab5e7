"""The words and the small values of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """The wire statuses; the names are the original service's."""

    STARTING = "starting"
    QUEUED = "queued"
    DEQUEUED = "dequeued"
    PROCESSING = "processing"
    PREDICTION_CREATED = "prediction_created"
    DOWNLOADING = "downloading"
    DOWNLOAD_COMPLETE = "download_complete"
    SUCCEEDED = "succeeded"
    WAITING_RETRY = "waiting_retry"
    RETRYING = "retrying"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"


class Priority(StrEnum):
    """Which of the waiting tasks come first; the values are the wire's."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


WEIGHTS: Mapping[str, int] = {Priority.HIGH: 4, Priority.NORMAL: 2, Priority.LOW: 1}
"""The turns that each priority has of seven while all of them wait."""


class AudioFormat(StrEnum):
    """What a task's audio is stored as: the words of the wire, and the endings of objects' names.

    Segments are WAV (16-bit PCM) whatever the whole is.
    """

    WAV = "wav"
    MP3 = "mp3"
    OPUS = "opus"  # in Ogg

    @property
    def content_type(self) -> str:
        """As HTTP calls it."""
        return _CONTENT_TYPES[self]


_CONTENT_TYPES = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.OPUS: "audio/ogg",
}


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


@dataclass
class Segment:
    """One range of the text and the prediction that speaks it.

    ``intent_at`` is set while a creation was decided on whose outcome is not in the log yet; only
    one of ``intent_at`` and ``prediction_id`` is set at a time.
    """

    start: int
    end: int
    creations: int = 0
    creations_before: int = 0  # those of the rounds before a person's last retry
    intent_at: datetime | None = None
    intent_lease: int = 0
    prediction_id: str | None = None
    predict_time: float | None = None
    output_url: str | None = None
    size: int | None = None
    sha256: str | None = None
    duration: float | None = None
    part: str | None = None
    suspected: bool = False  # an earlier prediction's audio was not taken for the whole text
    suspect: bool = False  # and the one that was taken may not be either

    @property
    def downloaded(self) -> bool:
        return self.sha256 is not None

    def abandon(self) -> None:
        """Give up the prediction: the segment has to be spoken anew."""
        self.intent_at = None
        self.prediction_id = self.predict_time = self.output_url = None
        self.size = self.sha256 = self.duration = self.part = None


@dataclass(frozen=True)
class TaskError:
    """Why an attempt ended: a machine code, the step it happened at, a sentence for people."""

    code: str
    step: str
    message: str


@dataclass(frozen=True)
class RetryLater:
    """End the attempt; ``attempt`` is the number of the next one, due in ``delay`` seconds.

    ``abandoned`` segments lost their prediction, ``suspected`` ones because of what was heard;
    for ``settled`` ones it is certain that the intended creation did not happen.
    """

    error: TaskError
    attempt: int
    delay: float
    abandoned: list[int] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    suspected: list[int] | None = None


@dataclass(frozen=True)
class GiveUp:
    """Fail the task; ``permanent`` says that no repetition can help."""

    error: TaskError
    permanent: bool
    abandoned: list[int] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
