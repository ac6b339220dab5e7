"""What the service needs from the outside, as protocols, and the one error that adapters raise.

Each port has two implementations that pass one contract suite (``tests/contract``). An adapter
translates its vendor's errors into :class:`StepError` or :class:`Unavailable`, once, and nothing
above it sees a vendor's type.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from tts.domain.failures import Treatment, lookup

T = TypeVar("T")

# --- errors


class StepError(Exception):
    """A step failed: ``code`` for machines, ``step`` where, the message for people.

    Code and step are a row of :mod:`tts.domain.failures`, which says what is done about it:
    ``failure``, and of that the ``treatment``. ``retry_after`` is in seconds and was asked for by
    the other side. The message never holds a secret nor what a person said: it is stored in the log
    for good.

    Raises:
        UnknownFailure: the table has no such row.
    """

    def __init__(
        self, code: str, step: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure = lookup(code, step)
        self.code = code
        self.step = step
        self.message = message
        self.retry_after = retry_after

    @property
    def treatment(self) -> Treatment:
        """What the failure calls for."""
        return self.failure.treatment


class Unavailable(Exception):
    """A service that we need (store, broker) does not answer; nothing was recorded."""


class Conflict(Exception):
    """Somebody else appended to the task first: load it again and decide again."""


# --- the event store


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as it stands in the log; ``state`` is its plain JSON."""

    position: int
    task_id: UUID
    version: int
    topic: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """What a person said: forgettable, so it never stands in an event."""

    text: str
    instruction: str
    salt: str


class EventStore(Protocol):
    """The append side of the log, and the reading of one task."""

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None = None) -> int:
        """Append all of one task's events or none, and return the position of the last.

        When it returns, they are on disk. ``payload`` goes with a task's first event.

        Raises:
            Conflict: an event of that version exists already, with other contents.
            Unavailable: the store did not answer; the events may or may not be there.
        """
        ...

    async def events(self, task_id: UUID) -> list[Recorded]:
        """All events of one task in order; empty if there is no such task."""
        ...

    async def payload(self, task_id: UUID) -> Payload | None:
        """What was said, or None if it was erased or never there."""
        ...

    async def erase(self, task_id: UUID) -> None:
        """Remove what was said; when it returns, that is on disk. Nothing there is fine."""
        ...


class Log(Protocol):
    """The whole log in the order of positions (ascending, not contiguous)."""

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """Up to ``limit`` events with a position greater than ``after``, of ``topics`` (or all)."""
        ...

    async def position(self) -> int:
        """The position of the newest event, 0 for an empty log."""
        ...

    async def newest(self, *, excluding: Sequence[str]) -> list[Recorded]:
        """Each task's newest event, save for tasks whose newest one has a topic of ``excluding``.

        It looks at the whole log: for starts and rescues, not for every day.
        """
        ...

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """Every event after ``after``, once, in order, for ever; batches are never empty.

        With ``topics`` only events of those, and only those wake the follower.
        """
        ...


class Coordination(Protocol):
    """What makes one process of several the one that acts, and lets it resume."""

    def leadership(self, name: str) -> AbstractAsyncContextManager[Leadership]:
        """Wait until this process leads ``name`` and lead while the context is open."""
        ...

    async def checkpoint(self, name: str) -> int:
        """The position up to which ``name`` has done its work, 0 at first."""
        ...

    async def save_checkpoint(self, name: str, position: int) -> None:
        """Remember the position; it never goes back."""
        ...


class Leadership(Protocol):
    """A leadership that can be lost, for instance with the connection that holds it."""

    async def lost(self) -> None:
        """Return when the leadership is lost; the work must stop at once."""
        ...


class Signals(Protocol):
    """Short words between processes that are lost on whoever does not listen: hints."""

    async def send(self, word: str) -> None:
        """Tell all who listen; at most 100 characters.

        Raises:
            Unavailable: perhaps nobody was told.
        """
        ...

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Every word that is sent while the context is open, by whichever process.

        Raises:
            Unavailable: at the start or while waiting: words may have been missed.
        """
        ...


class SharedDocument(Protocol):
    """Small documents that all processes of the service share, each under a name."""

    async def update(self, name: str, change: Callable[[bytes, float], tuple[bytes, T]]) -> T:
        """Replace a document by what ``change`` makes of it, and return what it says besides.

        It gets the document (empty at first) and the time, in seconds since 1970 by a clock that
        all processes share. No two changes of a document overlap. It may be called again, so it has
        to do nothing else; who returns the document as it was changes nothing.

        Raises:
            Unavailable: the store did not answer; the change may or may not be there.
        """
        ...


# --- the queue


class Destination(StrEnum):
    """Where a message goes."""

    WORK = "work"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class Message:
    """An order to look at a task. It says nothing that the log does not say.

    ``delay`` in seconds counts from the publication and goes with ``RETRY`` alone; ``headers`` are
    for people who look at the queue.
    """

    destination: Destination
    task_id: UUID
    attempt: int
    position: int
    delay: float = 0.0
    headers: Mapping[str, str | int] = field(default_factory=dict)


class Publisher(Protocol):
    """The relay's side of the queue."""

    async def publish(self, message: Message) -> None:
        """Hand the message over; when it returns, the broker has taken responsibility.

        Raises:
            Unavailable: the broker did not confirm; it may or may not have the message.
        """
        ...

    async def ready(self) -> Mapping[Destination, int]:
        """How many messages of each kind wait for a consumer now; delayed ones do not count.

        Raises:
            Unavailable: the broker does not answer.
        """
        ...

    async def marked(self) -> bool:
        """Whether this is the queue that was marked; one that is new or lost its data is not.

        It costs nothing while the connection is the one on which it was asked before.

        Raises:
            Unavailable: the broker does not answer.
        """
        ...

    async def mark(self) -> None:
        """Say in the queue itself that it has a message for every task that is not over.

        Raises:
            Unavailable: nothing is marked, for the broker does not answer or is not for sure the
                one that was found unmarked.
        """
        ...


class Delivery(Protocol):
    """One message in a processor's hands until it is settled; unsettled ones come again."""

    @property
    def message(self) -> Message:
        """The message."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether a consumer had it before and did not settle it."""
        ...

    async def ack(self) -> None:
        """The log says all that there is to say: forget the message."""
        ...

    async def release(self) -> None:
        """Give the message back, for this or another consumer, now."""
        ...


class Consumer(Protocol):
    """The processor's side of the queue."""

    def deliveries(self, limit: int) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Deliveries of work and due retries, at most ``limit`` of each kind unsettled at a time.

        The iterator survives reconnects: it only ends when the context is left, which gives back
        whatever is unsettled.
        """
        ...


# --- templates, predictions, audio


@dataclass(frozen=True, slots=True)
class Template:
    """A reference voice: its transcript, and where its audio can be fetched."""

    template_id: str
    transcript: str
    transcript_hash: str
    audio_url: str
    audio_etag: str | None


class Templates(Protocol):
    """The host of the reference voices."""

    async def fetch(self, template_id: str) -> Template:
        """The template, from the cache while it is fresh.

        Raises:
            StepError: at step ``template``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """What a prediction is to speak; two equal ones ask for the same audio."""

    text: str
    transcript: str
    audio_url: str
    instruction: str = ""


class PredictionState(StrEnum):
    """Replicate's statuses, folded to what the processor does about them."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction as last seen; ``predict_time`` is in seconds, ``output_url`` set on success.

    A failed one is raised as a :class:`StepError`, never returned.
    """

    id: str
    state: PredictionState
    model_version: str
    output_url: str | None = None
    predict_time: float | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A prediction as the list of all has it; ``created_at`` is by Replicate's clock."""

    id: str
    created_at: datetime


class Predictions(Protocol):
    """Replicate. Every call is bounded in time and raises :class:`StepError` alone."""

    async def create(self, speech: Speech, *, seconds_left: float) -> Prediction:
        """Create one; ``AMBIGUOUS`` says that it may exist although no reply arrived.

        Replicate ends it by itself after ``seconds_left``.
        """
        ...

    async def find(self, speech: Speech, *, since: datetime) -> list[Listed]:
        """The predictions created after ``since`` for exactly this speech, newest first."""
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """Look at it; a failed, lost or expired one raises."""
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Stop it if it still runs; one that is over or gone is left alone."""
        ...

    async def download(self, output_url: str) -> bytes:
        """The whole output, bounded in size, fetched without our token."""
        ...


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file of audio is: ``duration`` in seconds, ``sample_rate`` in Hz."""

    duration: float
    sample_rate: int
    channels: int
    content_type: str


class AudioStore(Protocol):
    """Where finished audio lies."""

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store (or overwrite) the object.

        Raises:
            StepError: at step ``store``.
        """
        ...

    async def put_file(self, key: str, path: Path, content_type: str) -> None:
        """Store (or overwrite) the object with the file's contents, a piece in memory at a time.

        Raises:
            StepError: at step ``store``.
        """
        ...

    async def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            StepError: at step ``store``; ``part_missing`` if there is none.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        ...

    def url(self, key: str) -> str:
        """Where a client fetches the object; no I/O."""
        ...
