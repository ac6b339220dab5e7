"""Traces: what was done for one task, in all processes, as spans of one story."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Literal, Protocol
from uuid import UUID

Kind = Literal["inside", "producer", "consumer", "client"]


class Span(Protocol):
    """Something that is being done."""

    def fail(self, code: str) -> None:
        """It goes wrong, with this error code."""
        ...


class Tracing(Protocol):
    """Writes down what is done; nothing waits for it."""

    def caller(self, traceparent: str | None) -> str | None:
        """What a header says of the span that a request was made in; None if none is to be joined.

        It goes into the log with the task, whose story is then part of that trace.
        """
        ...

    def accepted(self, task_id: UUID, seconds: float, caller: str | None = None) -> None:
        """The task's story has begun with a request, which took so long until now."""
        ...

    def span(
        self,
        name: str,
        *,
        task_id: UUID | None = None,
        caller: str | None = None,
        kind: Kind = "inside",
    ) -> AbstractContextManager[Span]:
        """What is done in the block; for the task, or for whatever is being done around it.

        ``caller`` is the task's.
        """
        ...

    def note(self, name: str) -> None:
        """Something happened to what is being done."""
        ...


class NoSpan:
    """Implements Span by nothing."""

    def fail(self, code: str) -> None:
        """See :class:`Span`."""


class NoTracing:
    """Implements Tracing by nothing."""

    def __init__(self) -> None:
        self._nothing = contextlib.nullcontext(NoSpan())

    def caller(self, traceparent: str | None) -> str | None:
        """See :class:`Tracing`."""

    def accepted(self, task_id: UUID, seconds: float, caller: str | None = None) -> None:
        """See :class:`Tracing`."""

    def span(
        self,
        _name: str,
        *,
        task_id: UUID | None = None,
        caller: str | None = None,
        kind: Kind = "inside",
    ) -> AbstractContextManager[Span]:
        """See :class:`Tracing`."""
        del task_id, caller, kind
        return self._nothing

    def note(self, name: str) -> None:
        """See :class:`Tracing`."""


NO_TRACING = NoTracing()
