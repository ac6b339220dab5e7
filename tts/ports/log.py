"""The event store: the append side of the log, and the log as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from tts.ports.epochs import Epochs

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as it stands in the log; ``state`` is its plain JSON."""

    position: int
    task_id: UUID
    version: int
    topic: str
    state: bytes

    @classmethod
    def of(cls, position: int, event: StoredEvent) -> Self:
        """The event, now that it stands there."""
        task_id = event.originator_id
        assert isinstance(task_id, UUID)  # noqa: S101 -- a text id would be a programming error
        return cls(position, task_id, event.originator_version, event.topic, event.state)


@dataclass(frozen=True, slots=True)
class Payload:
    """What a person said: forgettable, so it never stands in an event."""

    text: str
    instruction: str
    salt: str


@dataclass(frozen=True, slots=True)
class LogSecret:
    """What only the processes of this log know; its newest ``position`` was this at the making."""

    key: bytes = field(repr=False)
    position: int


@dataclass(frozen=True, slots=True)
class ArchivedTask:
    """What the log keeps of a task whose events were moved into the archive of that name.

    ``version`` and ``position`` are those of its newest event; ``facts`` is JSON of the
    application's that answers for it.
    """

    task_id: UUID
    owner: str
    version: int
    position: int
    archive: str
    facts: str


class EventStore(Protocol):
    """The append side of the log, and the reading of one task."""

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None = None) -> int:
        """Append all of one task's events or none, and return the position of the last.

        When it returns, they are on disk. ``payload`` goes with a task's first event. The version
        before the first one must be the task's newest: a history has no holes, also where the log
        has lost what the caller knows. Events that stand there already, the very same, are fine.

        Raises:
            Conflict: they do not follow the task's newest event, or the task is archived.
            Unavailable: the store did not answer; the events may or may not be there.
        """
        ...

    async def events(self, task_id: UUID) -> list[Recorded]:
        """All events of one task in order; empty if there is no such task."""
        ...

    async def archived(self, task_ids: Sequence[UUID]) -> list[ArchivedTask]:
        """What is kept of those of the tasks whose events were moved into archives."""
        ...

    async def amend(self, task: ArchivedTask) -> None:
        """Write down other facts of an archived task."""
        ...

    async def payload(self, task_id: UUID) -> Payload | None:
        """What was said, or None if it was erased or never there."""
        ...

    async def whole(self, task_id: UUID) -> tuple[list[Recorded], Payload | None]:
        """Both at once: :meth:`events` and :meth:`payload`."""
        ...

    async def containing(self, text: str, task_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the tasks whose text contains that; the case of A to Z does not matter."""
        ...

    async def erase(self, task_id: UUID) -> None:
        """Remove what was said; when it returns, that is on disk. Nothing there is fine."""
        ...

    async def secret(self) -> LogSecret:
        """The secret that stands beside the log; whoever asks first makes it."""
        ...


class Log(Protocol):
    """The whole log in the order of positions (ascending, not contiguous)."""

    @property
    def epochs(self) -> Epochs:
        """Those that are known so far: at least those of every event that was read."""
        ...

    @property
    def archived_to(self) -> int:
        """The newest position that was moved into an archive, 0 if the log is whole.

        As of the last reading of the log: what that has missed lies up to there.
        """
        ...

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """Up to ``limit`` events with a position greater than ``after``, of ``topics`` (or all).

        Raises:
            WentBack: what stood at ``after`` is gone.
        """
        ...

    async def position(self, seen: int = 0) -> int:
        """The position of the newest event, 0 for an empty log.

        If it is less than one that was ``seen``, a new epoch begins here, unless it has.
        """
        ...

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """Every event after ``after``, once, in order, for ever; batches are never empty.

        With ``topics`` only events of those, and only those wake the follower. What it has read
        past it does not read again, however long none of its topics comes.

        Raises:
            WentBack: what it had read last, or what stood at ``after``, is gone.
        """
        ...
