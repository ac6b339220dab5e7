"""The one that looks at the gate's shared state for all of a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tts.domain.failures import lookup
from tts.gate import state as gate_state
from tts.gate.facts import Fact, Figures, Trip, Waiting
from tts.gate.state import GateState, Limits
from tts.patience import Outage
from tts.ports.coordination import SharedDocument
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

NAME = "gate"  # of the shared document
ASK_AGAIN_SECONDS = 5.0  # at the latest: an operator may have reset the state by hand
LATER_SECONDS = 0.1  # so long what nobody here waits for may wait for what somebody does

Change = Callable[[GateState, float], GateState]
"""What becomes of a state, at a time in seconds since 1970."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A creation that waits for a permit, which is to last until then."""

    key: str
    until: float
    admitted: asyncio.Future[object]


@dataclass(slots=True, eq=False)
class _Edit:
    change: Change
    done: asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class _Result:
    state: GateState
    now: float
    turns: list[tuple[GateState, GateState]]  # before and after each trip and recovery
    admitted: list[Waiter]
    wait: float


class Desk:
    """Takes waiters and edits, and brings them to the shared state, which ``last`` remembers.

    What comes while one look at the state is under way goes into the next one, in the order in
    which it came.
    """

    def __init__(
        self, shared: SharedDocument, limits: Limits, observe: Callable[[Fact], None]
    ) -> None:
        self.last = GateState()
        self._shared = shared
        self._limits = limits
        self._observe = observe
        self._waiters: dict[Waiter, None] = {}
        self._edits: list[_Edit] = []
        self._woken = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._working: asyncio.Task[None] | None = None
        self._outage = Outage("Creations wait for the store")

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._waiters)

    def enter(self, key: str, until: float) -> Waiter:
        """Let a creation wait; its ``admitted`` is done when it has its permit."""
        waiter = Waiter(key, until, asyncio.get_running_loop().create_future())
        self._waiters[waiter] = None
        self._work()
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Let it wait no longer; a permit that it has nevertheless is given back."""
        if waiter.admitted.cancelled() or not waiter.admitted.done():
            waiter.admitted.cancel()
            self._waiters.pop(waiter, None)
            self._observe(Waiting(self.waiting))
        else:
            self._give_back(waiter.key)

    async def edit(self, change: Change) -> None:
        """Return when the state is changed; while the store is away that is done later."""
        await self._put(change).done

    def edit_soon(self, change: Change) -> None:
        """Have the state changed together with what comes next, before long."""
        self._edits.append(_Edit(change, asyncio.get_running_loop().create_future()))
        if self._waiters:  # perhaps for this
            self._work()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(LATER_SECONDS, self._work)

    async def settle(self) -> None:
        """Return when all edits are made, or the store is away."""
        if self._edits:
            self._work()
            await self._edits[-1].done

    async def look(self) -> tuple[GateState, float]:
        """The shared state, and the time.

        Raises:
            Unavailable: the store does not answer.
        """
        await self.settle()
        state, now = await self._shared.update(NAME, _read)
        self._see(state, now)
        return state, now

    def _put(self, change: Change) -> _Edit:
        edit = _Edit(change, asyncio.get_running_loop().create_future())
        self._edits.append(edit)
        self._work()
        return edit

    def _give_back(self, key: str) -> None:
        self._put(lambda state, _: gate_state.leave(state, key))

    def _work(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
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
                    self._observe(Waiting(self.waiting))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._woken.wait()
            self._observe(Waiting(0))
        finally:
            # Not in the callback: what comes before that runs would find nobody at work.
            self._working = None

    async def _ask(self) -> float:
        """One look at the shared state; returns how long to wait until the next one."""
        waiters, edits = list(self._waiters), list(self._edits)
        try:
            result = await self._shared.update(
                NAME, partial(_transact, edits, waiters, self._limits)
            )
        except Unavailable as error:
            for edit in edits:  # it stays, and nobody is kept waiting for it
                _finish(edit.done)
            return self._outage.failed(error)
        self._outage.over()
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
            self._report(before, after, result.now)
        self._see(result.state, result.now)
        return min(result.wait, ASK_AGAIN_SECONDS)

    def _see(self, state: GateState, now: float) -> None:
        self.last = state
        per_minute = state.per_minute(now, self._limits)
        self._observe(Figures(state.breaker(now), len(state.permits), per_minute))

    def _report(self, before: GateState, after: GateState, now: float) -> None:
        if after.open_until is None:
            logger.info("Creations flow again, after %.0f s", now - before.since)
            return
        self._observe(Trip(after.code))
        logger.log(
            logging.WARNING if before.open_until is None else logging.INFO,
            "Creations pause for %.0f s: %s. What to do: %s",
            after.open_until - now,
            after.message,
            lookup(after.code, "create").action,
            extra={"code": after.code, "trips": after.trips},
        )


def _transact(
    edits: list[_Edit], waiters: list[Waiter], limits: Limits, document: bytes, now: float
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


def _read(document: bytes, now: float) -> tuple[bytes, tuple[GateState, float]]:
    return document, (GateState.from_json(document), now)


def _finish(future: asyncio.Future[object]) -> None:
    if not future.done():
        future.set_result(None)
