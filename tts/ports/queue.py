"""The queue between the relay and the processors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID


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
