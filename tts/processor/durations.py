"""How long predictions last, so that nobody looks at one that cannot be over yet."""

from __future__ import annotations

from collections import deque

LATELY = 20  # predictions
LONGEST_SECONDS = 2.0  # that a look is put off, should one be quicker than all of late


class Durations:
    """What was seen of the last predictions; one for each process. All times in seconds."""

    def __init__(self) -> None:
        self._lately: deque[float] = deque(maxlen=LATELY)

    def add(self, seconds: float) -> None:
        """A prediction was over so long after its creation, by Replicate's clock."""
        self._lately.append(seconds)

    @property
    def shortest(self) -> float:
        """So long after its creation a look is of no use."""
        return min(min(self._lately, default=0.0), LONGEST_SECONDS)
