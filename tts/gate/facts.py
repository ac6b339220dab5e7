"""What the gate tells of itself to whoever observes it."""

from __future__ import annotations

from dataclasses import dataclass

from tts.gate.state import Breaker


@dataclass(frozen=True, slots=True)
class Figures:
    """The shared state, each time that this process looked at it; the rate may be infinite."""

    breaker: Breaker
    in_flight: int
    per_minute: float


@dataclass(frozen=True, slots=True)
class Trip:
    """This process tripped the breaker, for a failure with this code."""

    code: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many creations of this process wait before the gate."""

    count: int


Fact = Figures | Trip | Waiting


@dataclass(frozen=True, slots=True)
class Stores:
    """Whether the audio store is away for this process, and how many of its tasks wait for that."""

    away: bool
    waiting: int
