"""What the sandbox counts, so that a test can say what was paid for and who leaked a token."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Any

from tts.sandbox.predictions import Prediction


class Stats:
    """The counters behind ``GET /sandbox/stats``. A prediction runs until it ends."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._ends: list[tuple[float, str]] = []
        self.reset()

    def reset(self) -> None:
        """Start counting anew; what runs now keeps running."""
        self._created: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._polls: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._webhooks: Counter[str] = Counter()
        self._peak = len(self._running)

    def called(self, route: str, *, token: bool) -> None:
        """A request arrived at ``route``, with or without an Authorization header."""
        self._calls[route] += 1
        if token:
            self._tokens[route] += 1

    def created(self, prediction: Prediction) -> None:
        """A prediction was paid for; they come in the order of their creation."""
        self._created[prediction.text] += 1
        self._settle(prediction.created_at)
        self._running.add(prediction.id)
        heapq.heappush(self._ends, (prediction.ends_at, prediction.id))
        self._peak = max(self._peak, len(self._running))

    def canceled(self, prediction: Prediction) -> None:
        """A prediction ended before its time."""
        self._running.discard(prediction.id)

    def polled(self, prediction_id: str) -> None:
        """Somebody looked at a prediction."""
        self._polls[prediction_id] += 1

    def webhook(self, result: str) -> None:
        """A webhook was ``delivered``, ``refused`` (one try) or ``given_up`` (the last one)."""
        self._webhooks[result] += 1

    def snapshot(self, now: float) -> dict[str, Any]:
        """The counters as JSON."""
        self._settle(now)
        return {
            "creations": {"total": self._created.total(), "by_text": dict(self._created)},
            "running": len(self._running),
            "peak_running": self._peak,
            "calls": dict(self._calls),
            "polls": dict(self._polls),
            "tokens_at": {
                "delivery": self._tokens["delivery"],
                "templates": self._tokens["template_audio"] + self._tokens["template_transcript"],
            },
            "webhooks": dict(self._webhooks),
        }

    def _settle(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._running.discard(heapq.heappop(self._ends)[1])
