"""Callbacks: who is to be told that a task is over, and how far that has come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID


class CallbackState(StrEnum):
    """``pending``: to be delivered; ``failed``: nobody tries any more until somebody asks."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Callback:
    """What one end of a task is told by: the event of that ``version``, at ``url``.

    Times are in seconds since 1970. ``began`` is when the task ended, or when somebody asked for
    another round of attempts; ``due`` is when the next attempt is made, and None if there is none.
    ``problem`` says in a few words why the last attempt failed.
    """

    task_id: UUID
    version: int
    url: str
    began: float
    due: float | None
    state: CallbackState = CallbackState.PENDING
    attempts: int = 0
    updated: float = 0.0
    problem: str | None = None

    @property
    def host(self) -> str:
        """Host and port of the address, as they are written there."""
        return urlsplit(self.url).netloc.lower()


class CallbackTable(Protocol):
    """The table of all callbacks; it stands beside the log and is kept like it.

    Everything raises :class:`tts.ports.errors.Unavailable` when the store cannot be reached.
    """

    async def add(self, callbacks: Sequence[Callback]) -> None:
        """Remember new ones; those that are there already stay as they are."""
        ...

    async def due(self, now: float, limit: int, *, without: Collection[str]) -> list[Callback]:
        """Those whose time has come, the longest due first; none ``without`` these hosts."""
        ...

    async def next_due(self, after: float) -> float | None:
        """When the next one is due whose time comes after that."""
        ...

    async def save(self, callback: Callback) -> None:
        """Keep how an attempt went, unless it has been forgotten meanwhile."""
        ...

    async def newest(self, task_id: UUID) -> Callback | None:
        """That of the task's last end."""
        ...

    async def newest_first(self, state: CallbackState | None, limit: int) -> list[Callback]:
        """Those in that state (or all), the one that was updated last first."""
        ...

    async def replay(self, task_ids: Collection[UUID] | None, now: float) -> int:
        """Make those of the tasks due now, or all that failed; returns how many."""
        ...

    async def forget(self, task_ids: Collection[UUID]) -> None:
        """Remove those of the tasks."""
        ...

    async def prune(self, before: float) -> None:
        """Remove those that are over and were updated before then."""
        ...

    async def counts(self) -> Mapping[CallbackState, int]:
        """How many there are in each state that has any."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other side answered; ``retry_after`` in seconds, if it said so."""

    status: int
    retry_after: float | None


class Undelivered(Exception):
    """Nobody answered; the message says why, in a few words and without the address."""


class CallbackSender(Protocol):
    """Sends one callback to an address that a client chose."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST the body; redirects are answers like others.

        Raises:
            Undelivered: there is no answer.
        """
        ...
