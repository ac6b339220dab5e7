"""News of predictions from webhooks, for those who wait for a prediction.

A wake-up is a hint: it may come twice, late, or never, and who is woken looks for himself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from tts.ports.coordination import Signals

REMEMBERED_SECONDS = 60.0  # a webhook can be faster than the reply to the creation
REMEMBERED_MOST = 10_000


class Wakeups:
    """One for each processor; without :meth:`run` nobody is ever woken."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._came: dict[str, float] = {}  # oldest first

    @contextlib.contextmanager
    def expect(self, prediction_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the prediction's webhook comes, or came a moment ago.

        Clear it before looking at the prediction: what comes during the look sets it again.
        """
        event = asyncio.Event()
        came = self._came.get(prediction_id)
        if came is not None and self._clock() - came <= REMEMBERED_SECONDS:
            event.set()
        self._waiting.setdefault(prediction_id, set()).add(event)
        try:
            yield event
        finally:
            events = self._waiting[prediction_id]
            events.discard(event)
            if not events:
                del self._waiting[prediction_id]

    def wake(self, prediction_id: str) -> None:
        """The prediction's webhook has come."""
        now = self._clock()
        self._came.pop(prediction_id, None)
        self._came[prediction_id] = now
        self._forget(now)
        for event in self._waiting.get(prediction_id, ()):
            event.set()

    async def run(self, signals: Signals) -> None:
        """Wake whom the signals name, until canceled.

        Whoever waits when the listening begins (again) is woken: his signal may have been lost.
        """
        await signals.listen(self.wake, self._wake_all)

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()

    def _forget(self, now: float) -> None:
        while self._came:
            oldest = next(iter(self._came))
            fresh = now - self._came[oldest] <= REMEMBERED_SECONDS
            if fresh and len(self._came) <= REMEMBERED_MOST:
                break
            del self._came[oldest]
