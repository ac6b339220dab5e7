"""How long the streams wait for more events before they are served: not at all while they keep up.

To serve every stream costs about the same for one event as for several, since each takes one write.
What comes during a hand-out goes out together anyway; where that is far from enough, more is
gathered.
"""

from __future__ import annotations

import math

PAUSE_MAX_SECONDS = 0.05
LOAD_MAX = 1.5  # events that come while one is handed out
MEMORY_SECONDS, MEMORY_EVENTS = 0.5, 8


class Gathering:
    """Times are in seconds on a clock that never goes back."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._rate = 0.0  # events a second, of late
        self._cost = 0.0  # seconds that one hand-out takes

    def pause(self, events: int, began: float, ended: float) -> float:
        """How long to wait after some events were handed out, from ``began`` to ``ended``.

        Where events are gathered, at least half of the time is left for requests; the further the
        streams are behind, the more events they wait for.
        """
        passed = max(began - self._at, 1e-6)
        self._at = began
        forgotten = math.exp(-passed / MEMORY_SECONDS - events / MEMORY_EVENTS)
        self._rate += (1 - forgotten) * (events / passed - self._rate)
        self._cost += (1 - math.exp(-events / MEMORY_EVENTS)) * (ended - began - self._cost)
        excess = self._rate * self._cost - LOAD_MAX
        if excess <= 0:
            return 0.0
        return min(max(ended - began, excess * PAUSE_MAX_SECONDS), PAUSE_MAX_SECONDS)
