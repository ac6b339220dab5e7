"""Warnings that many may cause, or one again and again: each is written when it is news."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_SECONDS = 300.0
REMEMBERED_MAX = 100


class Repeated:
    """Remembers what was said, for ``QUIET_SECONDS``; ``clock`` is in seconds.

    >>> said = Repeated()
    >>> said.is_news("the disk is full"), said.is_news("the disk is full")
    (True, False)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def is_news(self, sentence: str) -> bool:
        """Whether to say it; it counts as said then."""
        now = self._clock()
        if now - self._said.get(sentence, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        if len(self._said) >= REMEMBERED_MAX:
            self._said.clear()
        self._said[sentence] = now
        return True
