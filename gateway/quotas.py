"""How much of the service one owner may take: unfinished tasks, and characters a day (UTC).

What was taken is in the log, which all gateways share. A gateway begins with the read model,
wherever that has come to, and counts on from there by itself; so neither a restart, nor a read
model that is away, behind or being rebuilt, gives anybody more. What it accepts itself counts
before it is in the log, so one gateway never accepts too much. Several may, by what the others
accept in the milliseconds (a second, if a wake-up is lost) until this one has read it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

import orjson

from gateway.access.roles import Access, Quota
from gateway.errors import CharactersExhausted, TooManyTasks
from gateway.taken import UNCOUNTED, CountedPlace, Place, Taken
from tts.domain.task import Task
from tts.patience import Outage
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded

logger = logging.getLogger(__name__)

BATCH = 500
DAY_LENGTH = len("2025-01-31")
COUNTING_SECONDS = 5.0  # so long a request waits for the first count
RETRY_SECONDS = 10  # after which one of the owner's tasks may be over
ENDS = frozenset({Task.Succeeded.TOPIC, Task.Failed.TOPIC, Task.Canceled.TOPIC})
TOPICS = frozenset({Task.Requested.TOPIC, Task.RetryRequested.TOPIC}) | ENDS

Owners = Callable[[Iterable[Recorded]], Awaitable[Mapping[UUID, str]]]
"""Tells whose the tasks of some events are."""


class Standing(Protocol):
    """What every owner has taken, up to a position in the log; nothing up to 0."""

    @property
    def position(self) -> int:
        """The position."""
        ...

    @property
    def unfinished(self) -> Mapping[str, int]:
        """Tasks, by owner."""
        ...

    @property
    def characters(self) -> Mapping[tuple[str, str], int]:
        """Characters, by owner and day."""
        ...


class Quotas:
    """Holds owners to their quotas; it counts from the first request on that has one.

    ``standing`` reads the read model, with the days from one on. ``default`` is the settings'
    quota.
    """

    def __init__(
        self,
        standing: Callable[[str], Awaitable[Standing]],
        log: Log,
        owners: Owners,
        default: Quota,
        now: Callable[[], datetime],
    ) -> None:
        self._standing = standing
        self._log = log
        self._owners = owners
        self._default = default
        self._now = now
        self._taken = Taken()
        self._outage = Outage("What owners have taken cannot be counted")
        self._counted = asyncio.Event()
        self._counting: asyncio.Task[None] | None = None

    def of(self, quota: Quota) -> Quota:
        """What holds for a key with that quota: the settings' where it has none; 0 is no limit."""
        tasks, characters = quota.max_tasks, quota.characters_per_day
        return Quota(
            self._default.max_tasks if tasks is None else tasks,
            self._default.characters_per_day if characters is None else characters,
        )

    def widest(self, quotas: Iterable[Quota]) -> Quota:
        """What holds for an owner with several keys."""
        held = [self.of(quota) for quota in quotas] or [self._default]
        return Quota(
            _most(quota.max_tasks for quota in held),
            _most(quota.characters_per_day for quota in held),
        )

    async def take(self, access: Access, characters: int) -> Place:
        """A place for one more task, which counts from now on.

        Raises:
            TooManyTasks, CharactersExhausted: the owner has had enough.
            Unavailable: what was taken is not known yet.
        """
        quota, owner = self.of(access.quota), access.owner
        is_limited = bool(quota.max_tasks or quota.characters_per_day)
        if not is_limited and not self._counted.is_set():
            return UNCOUNTED
        await self._count()
        if quota.max_tasks:
            self._room(owner, quota.max_tasks)
        now = self._now()
        if quota.characters_per_day:
            self._require_characters(owner, quota.characters_per_day, characters, now)
        return CountedPlace(self._taken, owner, day_of(now), characters)

    async def room(self, access: Access) -> int | None:
        """How many more tasks may be unfinished; None for any number.

        Raises:
            TooManyTasks: none.
            Unavailable: what was taken is not known yet.
        """
        most = self.of(access.quota).max_tasks
        if not most:
            return None
        await self._count()
        return self._room(access.owner, most)

    async def aclose(self) -> None:
        """Count no more."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait([self._counting])

    def _room(self, owner: str, most: int) -> int:
        unfinished = self._taken.unfinished[owner]
        if unfinished >= most:
            raise TooManyTasks(
                f"{unfinished} tasks are unfinished, and {most} may be", retry_after=RETRY_SECONDS
            )
        return most - unfinished

    def _require_characters(self, owner: str, most: int, characters: int, now: datetime) -> None:
        left = max(0, most - self._taken.characters[owner, day_of(now)])
        if characters > left:
            midnight = next_day(now)
            raise CharactersExhausted(
                f"the text has {characters} characters, and {left} of {most} a day are left "
                f"until {midnight.isoformat()}",
                retry_after=(midnight - now).total_seconds(),
            )

    async def _count(self) -> None:
        """Return once everything that was in the log at the first request is counted."""
        if self._counted.is_set():
            return
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._keep_counting())
        try:
            async with asyncio.timeout(COUNTING_SECONDS):
                await self._counted.wait()
        except TimeoutError as error:
            raise Unavailable("what was taken is still being counted") from error

    async def _keep_counting(self) -> None:
        try:
            while True:
                await self._begin()
                self._counted.set()
                try:
                    async for events in self._log.follow(self._taken.position, topics=TOPICS):
                        await self._see(events)
                except WentBack as error:
                    self._counted.clear()
                    logger.warning("What owners have taken is counted anew: %s", error)
        except Exception:
            # Nobody gets more than the quota for it: the next request begins anew.
            logger.exception("What owners have taken cannot be counted")
        finally:
            self._counted.clear()

    async def _begin(self) -> None:
        """Count what is there, from the read model's position on."""
        yesterday = day_of(self._now() - timedelta(days=1))
        standing = await self._outage.wait_out(partial(self._standing, yesterday))
        self._taken = Taken(standing.position, standing.unfinished, standing.characters)
        try:
            await self._catch_up()
        except WentBack:  # the read model has counted what the log has lost
            self._taken = Taken()
            await self._catch_up()

    async def _catch_up(self) -> None:
        while await self._see_next() == BATCH:
            await asyncio.sleep(0)

    async def _see_next(self) -> int:
        read = partial(self._log.read, self._taken.position, BATCH, TOPICS)
        events = await self._outage.wait_out(read)
        await self._see(events)
        return len(events)

    async def _see(self, events: list[Recorded]) -> None:
        owners = await self._outage.wait_out(partial(self._owners, events))
        for event in events:
            day, characters = "", 0
            if event.topic == Task.Requested.TOPIC:
                state = orjson.loads(event.state)
                day, characters = state["timestamp"][:DAY_LENGTH], state["text_length"]
            tasks = -1 if event.topic in ENDS else 1
            self._taken.see(event.position, owners[event.task_id], day, tasks, characters)
        # A day is kept for the clocks of other gateways.
        self._taken.forget_before(day_of(self._now() - timedelta(days=1)))


def _most(limits: Iterable[int | None]) -> int:
    return max((limit or 0 for limit in limits), key=lambda limit: limit or math.inf)


def day_of(instant: datetime) -> str:
    """The day in UTC, such as 2025-01-31."""
    return instant.astimezone(UTC).date().isoformat()


def next_day(instant: datetime) -> datetime:
    """When the day in UTC is over."""
    day = instant.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(day, time(), UTC)
