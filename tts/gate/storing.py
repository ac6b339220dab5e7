"""Whether finished audio can be stored now, as one process knows it.

Each process finds out for itself: every audio that it stores tells it, nothing is asked of the
database for that, and a processor may be cut off from the audio store while others are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from tts.domain.failures import StepError
from tts.gate.facts import Stores
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

FRESH_SECONDS = 5.0  # so long a sign of the store is believed, before something new is paid for
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0  # between two looks at a store that is away
LOOK_SECONDS = 5.0  # for one look
TRIAL_SECONDS = 60.0  # between two creations while one audio is refused, and nothing else is known
UNBOUNDED = 64  # so many at once are no crowd any more, after an outage
LONE_FAILURES = 3  # of one audio alone, while others are stored


@dataclass(slots=True)
class _Away:
    """An outage: when it began, for people and by the loop's clock, and what was said of it."""

    since: datetime
    began: float
    failure: StepError


class Storing:
    """What audio on its way into the store passes, and what waits for it.

    ``ready`` returns if an audio can be stored. Nothing that fails here for the store's sake is
    lost or paid for twice: audio waits, and so does whatever would be paid for next. After an
    outage one goes first, and twice as many with each that succeeds. ``now`` is the clock of the
    deadlines that it waits for.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[None]],
        *,
        observe: Callable[[Stores], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ready = ready
        self._now = now
        self._observe = observe
        self._away: _Away | None = None
        self._heard = float("-inf")  # when the store last did what it was asked
        self._outages = 0  # in a row, with nothing stored in between
        self._stored = 0
        self._inside = 0
        self._width = UNBOUNDED
        self._waiting = 0
        self._storers = 0
        self._next_trial = float("-inf")
        self._line: deque[object] = deque()
        self._moved = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._look = asyncio.Lock()

    @property
    def away(self) -> bool:
        """Whether nothing can be stored now, as far as this process knows."""
        return self._away is not None

    def notes(self) -> list[str]:
        """What health says of an outage."""
        if self._away is None:
            return []
        since = self._away.since.strftime("%H:%M:%S")
        note = (
            f"The audio store is away since {since} UTC, and {self._waiting} pieces of work wait "
            "for it: nothing new is paid for meanwhile, and all goes on when it is back"
        )
        return [note]

    async def promise(self, *, until: datetime, changed: asyncio.Event) -> bool:
        """Wait until what is paid for now can be stored: true.

        False when ``changed`` was set or ``until`` passed first.
        """
        await self._look_if_silent()
        if self._is_trusted():
            return True
        async with self._among_waiting():
            return await self._wait(self._is_trusted, until, changed)

    async def store(
        self, work: Callable[[], Awaitable[T]], *, until: datetime, changed: asyncio.Event
    ) -> T | None:
        """What ``work`` returns, when the store has taken it; None if ``changed`` was set before.

        Raises:
            StepError: ``until`` passed, an operator must act, this audio alone is not stored
                while others are, or it has nothing to do with the store.
        """
        self._storers += 1
        try:
            return await self._store(work, until, changed)
        finally:
            self._storers -= 1
            self._move()

    async def _store(
        self, work: Callable[[], Awaitable[T]], until: datetime, changed: asyncio.Event
    ) -> T | None:
        lone, stored = 0, self._stored
        while await self._enter(until, changed):
            try:
                # Whoever waits to pay for something new looks at this moment, too: it must see that
                # the store is there before an audio that is never taken says that it is not.
                await asyncio.sleep(0)
                result = await work()
            except StepError as failure:
                self._leave()
                if failure.code == "audio_unavailable":
                    lone += self._stored > stored
                    stored = self._stored
                    self._fell(failure)
                    if lone < LONE_FAILURES:
                        continue
                    raise StepError("audio_failed", "audio", failure.message) from failure
                if failure.code == "audio_refused":
                    self._fell(failure)
                raise
            except BaseException:
                self._leave()
                raise
            self._leave()
            self._succeeded()
            return result
        if changed.is_set():
            return None
        raise (
            self._away.failure
            if self._away
            else StepError("audio_unavailable", "audio", "No turn has come at the audio store yet")
        )

    async def _enter(self, until: datetime, changed: asyncio.Event) -> bool:
        """Wait in line for a place among those who store at once."""
        place = object()
        self._line.append(place)
        try:
            if not self._is_free(place):
                async with self._among_waiting():
                    if not await self._wait(lambda: self._is_free(place), until, changed):
                        return False
            self._inside += 1
            return True
        finally:
            self._line.remove(place)
            self._move()

    def _is_trusted(self) -> bool:
        """After an outage, audio that waits goes before what would be paid for.

        But if it is one alone that still is not taken, the fault may be its own: another tells.
        """
        if self._away is not None:
            return False
        if not self._outages or not self._storers:
            return True
        now = asyncio.get_running_loop().time()
        if self._storers > 1 or now < self._next_trial:
            return False
        self._next_trial = now + TRIAL_SECONDS
        return True

    def _is_free(self, place: object) -> bool:
        return self._away is None and self._inside < self._width and self._line[0] is place

    def _leave(self) -> None:
        self._inside -= 1
        self._move()

    async def _wait(
        self, holds: Callable[[], bool], until: datetime, changed: asyncio.Event
    ) -> bool:
        news = asyncio.ensure_future(changed.wait())
        try:
            while not holds():
                seconds = (until - self._now()).total_seconds()
                if changed.is_set() or seconds <= 0:
                    return False
                if self._away is not None:
                    self._look_until_back()
                moved = asyncio.ensure_future(self._moved.wait())
                try:
                    await asyncio.wait(
                        (moved, news), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    moved.cancel()
            return True
        finally:
            news.cancel()

    @contextlib.asynccontextmanager
    async def _among_waiting(self) -> AsyncIterator[None]:
        self._waiting += 1
        self._tell()
        try:
            yield
        finally:
            self._waiting -= 1
            self._tell()

    def _move(self) -> None:
        """Have all who wait look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def _look_if_silent(self) -> None:
        async with self._look:
            silent = asyncio.get_running_loop().time() - self._heard > FRESH_SECONDS
            if self._away is not None or not silent:
                return
            failure = await self._failure()
            if failure is not None:
                self._fell(failure)
            else:
                self._heard = asyncio.get_running_loop().time()

    async def _failure(self) -> StepError | None:
        """Why nothing can be stored now."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._ready()
        except Unavailable as error:
            return StepError("audio_unavailable", "audio", str(error))
        except TimeoutError:
            message = f"The audio store does not answer within {LOOK_SECONDS:g} s"
            return StepError("audio_unavailable", "audio", message)
        return None

    def _look_until_back(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        """Look for as long as somebody waits for the end of the outage."""
        pause = min(FIRST_PAUSE_SECONDS * 2 ** min(self._outages - 1, 10), LONGEST_PAUSE_SECONDS)
        try:
            while self._waiting and self._away is not None:
                await asyncio.sleep(pause)
                if await self._failure() is None:
                    self._returned()
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            self._looking = None
            self._move()  # somebody may have come just now

    def _fell(self, failure: StepError) -> None:
        if self._away is not None:
            self._away.failure = failure
            return
        self._outages += 1
        self._away = _Away(self._now(), asyncio.get_running_loop().time(), failure)
        logger.log(
            logging.WARNING if self._outages == 1 else logging.INFO,
            "Finished audio waits, and nothing new is paid for: %s",
            failure.message,
        )
        self._tell()
        self._move()

    def _returned(self) -> None:
        if self._away is not None:
            seconds = asyncio.get_running_loop().time() - self._away.began
            logger.info("The audio store is back after %.1f s", seconds)
        self._away = None
        self._heard = asyncio.get_running_loop().time()
        self._width = 1
        self._tell()
        self._move()

    def _succeeded(self) -> None:
        self._stored += 1
        self._width = min(self._width * 2, UNBOUNDED)
        if self._away is None:  # else it began before the outage, and says nothing of it
            self._outages = 0
            self._heard = asyncio.get_running_loop().time()
        self._move()

    def _tell(self) -> None:
        self._observe(Stores(self.away, self._waiting))
