"""The one gate before Replicate, which all processors of the account share."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tts import wire
from tts.domain.failures import StepError, Treatment
from tts.gate import state as gate_state
from tts.gate.desk import Desk
from tts.gate.facts import Fact
from tts.gate.state import Breaker, Limits, News, Outcome
from tts.ports.coordination import SharedDocument

_NAMED_RATE = re.compile(r"(\d+) requests per minute")
_NEWS = {
    Treatment.PERMANENT: News.ANSWERED,
    Treatment.THROTTLED: News.THROTTLED,
    Treatment.CONFIGURATION: News.MISCONFIGURED,
    Treatment.AMBIGUOUS: News.FAULT,
    Treatment.TRANSIENT: News.FAULT,
}


class Gate:
    """What creations pass; one per process. ``clock`` gives seconds since 1970."""

    def __init__(
        self,
        shared: SharedDocument,
        limits: Limits,
        *,
        observe: Callable[[Fact], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._desk = Desk(shared, limits, observe)

    async def admit(self, key: str, *, until: datetime, changed: asyncio.Event) -> bool:
        """Wait for leave to create a prediction: true when a permit for ``key`` is held.

        False when ``changed`` was set or ``until`` passed first; ``changed`` is left as it is, to
        be cleared by who looks at the news. The permit lasts until :meth:`leave`, at most
        ``until``.
        """
        seconds = until.timestamp() - self._clock()
        if changed.is_set() or seconds <= 0:
            return False
        waiter = self._desk.enter(key, until.timestamp())
        news: asyncio.Future[object] = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait(
                (waiter.admitted, news), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            self._desk.withdraw(waiter)
            raise
        finally:
            news.cancel()
        if waiter.admitted.done():
            waiter.admitted.result()
            return True
        self._desk.withdraw(waiter)
        return False

    async def settle(self, key: str, failure: StepError | None) -> None:
        """Tell how the creation went that ``key`` was admitted for; None: it was created."""
        outcome = outcome_of(failure)
        calm = self._desk.last.open_until is None and not self._desk.last.failures
        if outcome.news is News.CREATED and calm:
            return  # nothing would change: the usual case costs no look at the shared state
        await self._desk.edit(
            lambda state, now: gate_state.settle(state, key, outcome, now, self._limits)
        )

    def leave(self, key: str) -> None:
        """The prediction is over, or given up: others hear of it before long."""
        self._desk.edit_soon(lambda state, _: gate_state.leave(state, key))

    async def aclose(self) -> None:
        """Say what is left to say, if the store is there."""
        await self._desk.settle()

    async def state(self) -> wire.Gate:
        """The shared state for people, with ``waiting`` of this process alone.

        Raises:
            Unavailable: the store does not answer.
        """
        state, now = await self._desk.look()
        per_minute = state.per_minute(now, self._limits)
        breaker = state.breaker(now)
        closed = breaker is Breaker.CLOSED
        return {
            "state": breaker.value,
            "reason": None if closed else {"code": state.code, "message": state.message},
            "since": _iso(state.since) if state.since else None,
            "until": _iso(state.open_until),
            "failures": state.failures,
            "createsPerMinute": None if per_minute == math.inf else round(per_minute, 1),
            "inFlight": len(state.permits),
            "waiting": self._desk.waiting,
            "limits": {
                "createsPerMinute": self._limits.creates_per_minute or None,
                "inFlight": self._limits.in_flight or None,
            },
        }


def outcome_of(failure: StepError | None) -> Outcome:
    """What a creation's failure says about the service; None: it was created."""
    if failure is None:
        return Outcome(News.CREATED)
    asked = failure.step == "create" and failure.code != "internal_error"
    throttled = failure.treatment is Treatment.THROTTLED
    rate = _NAMED_RATE.search(failure.message) if throttled else None
    return Outcome(
        _NEWS.get(failure.treatment, News.NONE) if asked else News.NONE,
        code=failure.code,
        message=failure.message,
        retry_after=failure.retry_after,
        per_minute=float(rate[1]) if rate else None,
        may_run=failure.treatment is Treatment.AMBIGUOUS,
    )


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
