"""The roster: which parts of the service are at work, in which process, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """What a ``part`` (``relay``) of the process ``name`` tells of itself; ``facts`` are JSON."""

    part: str
    name: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice, when it came (in seconds since 1970) and how old it is, by the store's clock."""

    notice: Notice
    at: float
    age: float


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who is on the roster, and ``last``: when each kind of part was heard of at all."""

    heard: Sequence[Heard]
    last: Mapping[str, float]


class Roster(Protocol):
    """A small table that all processes of the service share; it may be lost.

    Everything raises :class:`tts.ports.errors.Unavailable` when the store cannot be reached.
    """

    async def tell(self, notices: Sequence[Notice]) -> None:
        """Be on the roster, with these notices in place of earlier ones.

        It also takes off who has been silent for an hour.
        """
        ...

    async def leave(self, notices: Sequence[Notice]) -> None:
        """Be no longer on it."""
        ...

    async def read(self) -> Attendance:
        """Who is on it."""
        ...
