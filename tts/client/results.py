"""What the service answers, as frozen dataclasses. Times are in UTC, durations in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

FINAL = frozenset({"succeeded", "failed", "canceled"})
TIMES = frozenset(
    {
        "timestamp",
        "created_at",
        "updated_at",
        "completed_at",
        "retry_at",
        "dismissed_at",
        "erased_at",
        "archived_at",
        "callback_at",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What every kind of answer about a task says."""

    task_id: str
    status: str
    audio_url: str | None = None

    @property
    def final(self) -> bool:
        """Whether the task is over, unless somebody has it retried."""
        return self.status in FINAL

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """From the wire's names; fields that are not ours are left out."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = data.get(_camel(field.name), data.get(field.name))  # the original's audio_url
            if value is not None:
                values[field.name] = datetime.fromisoformat(value) if field.name in TIMES else value
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted(State):
    """The answer to ``generate``: ``started``, or ``succeeded`` with the audio's URL."""

    message: str | None = None
    position: int | None = None
    suspect_segments: list[int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing(State):
    """How a task stands, and at which position of the log."""

    position: int
    duration: float | None = None
    format: str | None = None
    bytes: int | None = None
    error: str | None = None
    code: str | None = None
    step: str | None = None
    retry_at: datetime | None = None
    queue_position: int | None = None
    estimated_wait_ms: int | None = None
    segments: int | None = None
    suspect_segments: list[int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(Standing):
    """A task; lists leave out what takes more than a line.

    ``erased_at`` is set once its text and audio are gone, ``dismissed_at`` once its failure was
    seen and let be, ``archived_at`` once its timeline is in an archive.
    """

    template_id: str
    attempt: int
    tts_text: str | None = None
    instruction: str | None = None
    max_attempts: int | None = None
    priority: str | None = None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    segments_done: int | None = None
    partial_audio_urls: list[str] | None = None
    dismissed_at: datetime | None = None
    erased_at: datetime | None = None
    archived_at: datetime | None = None
    callback_url: str | None = None
    callback_state: str | None = None
    callback_attempts: int | None = None
    callback_problem: str | None = None
    callback_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Update(Standing):
    """One status of a task, when it was reached, and what belongs to it.

    Two updates leave the status as it was: one of them is ``erased``, the other ``dismissed``.
    """

    timestamp: datetime
    template_id: str | None = None
    attempt: int | None = None
    worker: str | None = None
    prediction_id: str | None = None
    segment: int | None = None
    partial_audio_url: str | None = None
    suspect_truncation: bool | None = None
    suspect_audio: bool | None = None
    predict_time: float | None = None
    delay: float | None = None
    permanent: bool | None = None
    by: str | None = None
    reason: str | None = None
    dismissed: bool | None = None
    erased: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioPart:
    """Audio that can be played by itself: ``segment`` of ``segments``."""

    url: str
    segment: int
    segments: int


class Parts:
    """Puts the audio of a task's updates into the order in which it is to be heard."""

    def __init__(self) -> None:
        self._waiting: dict[int, AudioPart] = {}
        self._next = 0

    def take(self, update: Update) -> Iterator[AudioPart]:
        """What can be heard now that this update is there."""
        if update.partial_audio_url is not None:
            segment, segments = update.segment or 0, update.segments or 1
            part = AudioPart(url=update.partial_audio_url, segment=segment, segments=segments)
            self._waiting[segment] = part
        elif update.status == "succeeded" and update.audio_url is not None and self._next == 0:
            self._waiting[0] = AudioPart(url=update.audio_url, segment=0, segments=1)
        while (ready := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield ready


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
