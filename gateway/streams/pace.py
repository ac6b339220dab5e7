"""How fast a client may send, whatever it sends: frames cost us time even if they say nothing."""

from __future__ import annotations

FRAMES_PER_SECOND = 1000  # of one connection; what comes faster waits for its turn
BURST_SECONDS = 1.0
REFUSALS_MAX = 100  # without a quiet second in between
QUIET_SECONDS = 1.0


class Pace:
    """Of one connection; ``now`` is in seconds on a clock that never goes back."""

    __slots__ = ("_level_at", "_refusals", "_refused_at")

    def __init__(self) -> None:
        self._level_at = 0.0
        self._refusals = 0
        self._refused_at = 0.0

    def after(self, frames: int, now: float) -> float:
        """How many seconds nothing more is read after these frames."""
        self._level_at = max(self._level_at, now) + frames / FRAMES_PER_SECOND
        return max(0.0, self._level_at - now - BURST_SECONDS)

    def refused(self, now: float) -> bool:
        """Count a refusal; whether it was one too many."""
        if now - self._refused_at > QUIET_SECONDS:
            self._refusals = 0
        self._refused_at = now
        self._refusals += 1
        return self._refusals > REFUSALS_MAX
