"""The one gate before Replicate, which all processors of the account share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from tts import wire
from tts.domain.failures import StepError, Treatment, lookup
from tts.gate import state as gate_state
from tts.gate.state import Breaker, GateState, Limits, News, Outcome
from tts.ports.coordination import SharedDocument
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

NAME = "gate"  # of the shared document
ASK_AGAIN_SECONDS = 5.0  # at the latest: an operator may have reset the state by hand
STORE_RETRY_SECONDS = 1.0

_TOLD = re.compile(r"(\d+) requests per minute")
_NEWS = {
    Treatment.PERMANENT: News.ANSWERED,
    Treatment.THROTTLED: News.THROTTLED,
    Treatment.CONFIGURATION: News.MISCONFIGURED,
    Treatment.AMBIGUOUS: News.FAULT,
    Treatment.TRANSIENT: News.FAULT,
}


class GateWatch(Protocol):
    """Hooks for metrics."""

    def seen(self, breaker: Breaker, in_flight: int, per_minute: float) -> None:
        """The shared state, whenever this process looked at it; the rate may be infinite."""
        ...

    def tripped(self, code: str) -> None:
        """This process tripped the breaker."""
        ...

    def waiting(self, count: int) -> None:
        """So many creations of this process wait before the gate."""
        ...


class Unwatched:
    """Hooks that do nothing."""

    def seen(self, breaker: Breaker, in_flight: int, per_minute: float) -> None:
        """See :class:`GateWatch`."""

    def tripped(self, code: str) -> None:
        """See :class:`GateWatch`."""

    def waiting(self, count: int) -> None:
        """See :class:`GateWatch`."""


@dataclass(slots=True, eq=False)
class _Waiter:
    key: str
    until: float
    admitted: asyncio.Future[object]


@dataclass(slots=True, eq=False)
class _Edit:
    change: Callable[[GateState, float], GateState]
    done: asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class _Result:
    state: GateState
    now: float
    turns: list[tuple[GateState, GateState]]  # before and after each trip and recovery
    admitted: list[_Waiter]
    wait: float


class Gate:
    """Asks the shared state for all of this process; one per process.

    Whatever is wanted while one look at the shared state is under way goes into the next one, in
    the order in which it was wanted. ``clock`` gives seconds since 1970.
    """

    def __init__(
        self,
        shared: SharedDocument,
        limits: Limits,
        *,
        watch: GateWatch | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared = shared
        self._limits = limits
        self._watch = watch or Unwatched()
        self._clock = clock
        self._waiters: dict[_Waiter, None] = {}
        self._edits: list[_Edit] = []
        self._woken = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._last = GateState()
        self._store_away = False

    async def admit(self, key: str, *, until: datetime, changed: asyncio.Event) -> bool:
        """Wait for leave to create a prediction: true when a permit for ``key`` is held.

        False when ``changed`` was set or ``until`` passed first; ``changed`` is left as it is, to
        be cleared by who looks at the news. The permit lasts until :meth:`leave`, at most
        ``until``.
        """
        seconds = until.timestamp() - self._clock()
        if changed.is_set() or seconds <= 0:
            return False
        waiter = _Waiter(key, until.timestamp(), asyncio.get_running_loop().create_future())
        self._waiters[waiter] = None
        self._work()
        news: asyncio.Future[object] = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait(
                (waiter.admitted, news), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        finally:
            news.cancel()
        if waiter.admitted.done():
            waiter.admitted.result()
            return True
        self._withdraw(waiter)
        return False

    async def settle(self, key: str, failure: StepError | None) -> None:
        """Tell how the creation went that ``key`` was admitted for; None: it was created."""
        outcome = outcome_of(failure)
        calm = self._last.open_until is None and not self._last.failures
        if outcome.news is News.CREATED and calm:
            return  # nothing would change: the usual case costs no look at the shared state
        await self._edit(
            lambda state, now: gate_state.settle(state, key, outcome, now, self._limits)
        )

    async def leave(self, key: str) -> None:
        """The prediction is over, or given up. While the store is away it is done later."""
        await self._edit(lambda state, _: gate_state.leave(state, key))

    async def state(self) -> wire.Gate:
        """The shared state for people, with ``waiting`` of this process alone.

        Raises:
            Unavailable: the store does not answer.
        """
        state, now = await self._shared.update(NAME, _look)
        self._see(state, now)
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
            "waiting": len(self._waiters),
            "limits": {
                "createsPerMinute": self._limits.creates_per_minute or None,
                "inFlight": self._limits.in_flight or None,
            },
        }

    # --- the one that asks

    async def _edit(self, change: Callable[[GateState, float], GateState]) -> None:
        edit = _Edit(change, asyncio.get_running_loop().create_future())
        self._edits.append(edit)
        self._work()
        await edit.done

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter.admitted.cancelled() or not waiter.admitted.done():
            waiter.admitted.cancel()
            self._waiters.pop(waiter, None)
            self._watch.waiting(len(self._waiters))
        else:
            self._give_back(waiter.key)

    def _give_back(self, key: str) -> None:
        done = asyncio.get_running_loop().create_future()
        self._edits.append(_Edit(lambda state, _: gate_state.leave(state, key), done))
        self._work()

    def _work(self) -> None:
        self._woken.set()
        if self._working is None:
            self._working = asyncio.create_task(self._ask_until_idle())
            self._working.add_done_callback(self._over)

    def _over(self, working: asyncio.Task[None]) -> None:
        if working.cancelled() or (error := working.exception()) is None:
            return
        for future in [*(w.admitted for w in self._waiters), *(e.done for e in self._edits)]:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()
        self._edits.clear()

    async def _ask_until_idle(self) -> None:
        try:
            while self._waiters or self._edits:
                self._woken.clear()
                wait = await self._ask()
                if self._waiters or self._edits:
                    self._watch.waiting(len(self._waiters))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._woken.wait()
            self._watch.waiting(0)
        finally:
            # Not in the callback: what is wanted before that runs would find nobody at work.
            self._working = None

    async def _ask(self) -> float:
        """One look at the shared state; returns how long to wait until the next one."""
        waiters, edits = list(self._waiters), list(self._edits)
        try:
            result = await self._shared.update(
                NAME, partial(_transact, edits, waiters, self._limits)
            )
        except Unavailable as error:
            if not self._store_away:
                logger.warning("Creations wait for the store: %s", error)
            self._store_away = True
            for edit in edits:  # it stays, and nobody is kept waiting for it
                _finish(edit.done)
            return STORE_RETRY_SECONDS
        self._store_away = False
        del self._edits[: len(edits)]
        for edit in edits:
            _finish(edit.done)
        for waiter in result.admitted:
            self._waiters.pop(waiter, None)
            if waiter.admitted.cancelled():
                self._give_back(waiter.key)
            else:
                _finish(waiter.admitted)
        for before, after in result.turns:
            self._tell(before, after, result.now)
        self._see(result.state, result.now)
        return min(result.wait, ASK_AGAIN_SECONDS)

    def _see(self, state: GateState, now: float) -> None:
        self._last = state
        self._watch.seen(
            state.breaker(now), len(state.permits), state.per_minute(now, self._limits)
        )

    def _tell(self, before: GateState, after: GateState, now: float) -> None:
        if after.open_until is None:
            logger.info("Creations flow again, after %.0f s", now - before.since)
            return
        self._watch.tripped(after.code)
        logger.log(
            logging.WARNING if before.open_until is None else logging.INFO,
            "Creations pause for %.0f s: %s. What to do: %s",
            after.open_until - now,
            after.message,
            lookup(after.code, "create").action,
            extra={"code": after.code, "trips": after.trips},
        )


def outcome_of(failure: StepError | None) -> Outcome:
    """What a creation's failure says about the service; None: it was created."""
    if failure is None:
        return Outcome(News.CREATED)
    asked = failure.step == "create" and failure.code != "internal_error"
    told = _TOLD.search(failure.message) if failure.treatment is Treatment.THROTTLED else None
    return Outcome(
        _NEWS.get(failure.treatment, News.NONE) if asked else News.NONE,
        code=failure.code,
        message=failure.message,
        retry_after=failure.retry_after,
        per_minute=float(told[1]) if told else None,
        may_run=failure.treatment is Treatment.AMBIGUOUS,
    )


def _transact(
    edits: list[_Edit], waiters: list[_Waiter], limits: Limits, document: bytes, now: float
) -> tuple[bytes, _Result]:
    before = state = GateState.from_json(document)
    turns = []
    for edit in edits:
        edited = edit.change(state, now)
        if edited.trips != state.trips:
            turns.append((state, edited))
        state = edited
    admitted, waits = [], [ASK_AGAIN_SECONDS]
    for waiter in waiters:
        state, wait = gate_state.admit(state, waiter.key, now, limits, expires_at=waiter.until)
        if wait:
            waits.append(wait)
        else:
            admitted.append(waiter)
    result = _Result(state, now, turns, admitted, min(waits))
    return document if state is before else state.as_json(), result


def _look(document: bytes, now: float) -> tuple[bytes, tuple[GateState, float]]:
    return document, (GateState.from_json(document), now)


def _finish(future: asyncio.Future[object]) -> None:
    if not future.done():
        future.set_result(None)


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
