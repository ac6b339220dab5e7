"""How fast those who wait have their turns: by how long a task keeps a place of a processor."""

from __future__ import annotations

from collections import deque
from uuid import UUID

from tts.application.turns import wait_ms

SAMPLE = 100  # the ends that count
MEMORY_SECONDS = 900.0  # and for how long: an hour ago, things may have been otherwise


class Pace:
    """All times are seconds since 1970, those of the events.

    ``seconds_per_turn`` and ``free`` are as of the last :meth:`learn`.
    """

    def __init__(self) -> None:
        self.seconds_per_turn: float | None = None
        self.free = 0
        self._claims: dict[UUID, float] = {}
        self._held: deque[tuple[float, float]] = deque(maxlen=SAMPLE)

    def claimed(self, task_id: UUID, at: float) -> None:
        """A processor has taken the task up."""
        self._claims[task_id] = at

    def released(self, task_id: UUID, at: float) -> None:
        """Its place is free again, if it had one."""
        began = self._claims.pop(task_id, None)
        if began is not None:
            self._held.append((at, max(at - began, 0.0)))

    def forget(self, task_id: UUID) -> None:
        """Nobody has it any more, and nobody knows since when."""
        self._claims.pop(task_id, None)

    def learn(self, places: int, busy: int, now: float) -> None:
        """Take into account how many places the processors have, and how many are taken."""
        held = self._held_seconds(now)
        self.free = max(places - busy, 0)
        self.seconds_per_turn = held / places if held is not None and places else None

    def wait_ms(self, place: int, *, is_full: bool) -> int | None:
        """About how long a place in the queue waits; ``is_full`` says that no place can be free."""
        return wait_ms(place, 0 if is_full else self.free, self.seconds_per_turn)

    def _held_seconds(self, now: float) -> float | None:
        """The mean, in which those count that take longer than it: in an outage nothing ends."""
        held = [seconds for at, seconds in self._held if at >= now - MEMORY_SECONDS]
        if not held:
            return None
        mean = sum(held) / len(held)
        held += [now - at for at in self._claims.values() if now - at > mean]
        return sum(held) / len(held)
