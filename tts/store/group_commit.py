"""Group commit: whatever is asked for while one commit is under way goes into the next one.

A commit costs one flush to disk whether it holds one append or a thousand, so under load the price
of durability is shared, and a lone append waits for nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from tts.ports.errors import Conflict, Unavailable
from tts.ports.log import Payload

MAX_BATCH = 500  # appends in one transaction: bounds how long the log stays locked


@dataclass(slots=True, eq=False)
class Append:
    """One caller's events, which land together or not at all."""

    events: Sequence[StoredEvent]
    payload: Payload | None
    done: asyncio.Future[int]

    @property
    def task_id(self) -> UUID:
        """Whose events they are."""
        task_id = self.events[0].originator_id
        assert isinstance(task_id, UUID)  # noqa: S101 -- a text id would be a programming error
        return task_id

    def conflict(self) -> Conflict:
        """The error for a caller whose events do not follow the newest one."""
        event = self.events[0]
        version = event.originator_version - 1
        return Conflict(f"task {event.originator_id} does not stand at version {version}")


Commit = Callable[[list[Append]], Awaitable[list[int | None]]]
"""Writes a batch in one transaction: for each append the position of its last event, or None where
its first event does not follow the newest one of its task. Raises Unavailable when nothing could be
written; any other error says that the batch as a whole does not fit, and each append is then tried
alone."""


ObserveCommit = Callable[[int, float], None]
"""Is told of each commit: how many appends went into it, and how many seconds it took."""


def nobody(_appends: int, _seconds: float) -> None:
    """Is told in vain."""


class GroupCommit:
    """The one writer of a process."""

    def __init__(self, commit: Commit, observe: ObserveCommit = nobody) -> None:
        self._commit = commit
        self._observe = observe
        self._waiting: list[Append] = []
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def append(self, events: Sequence[StoredEvent], payload: Payload | None) -> int:
        """Append and return the last event's position; see :class:`tts.ports.log.EventStore`."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._waiting.append(Append(events, payload, done))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await done

    async def flush(self) -> None:
        """Return when everything that was asked for so far is settled."""
        if self._draining is not None:
            await asyncio.wait([self._draining])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, late = _distinct(self._waiting)
                self._waiting = late
                await self._settle(batch)
        finally:
            self._draining = None

    async def _settle(self, batch: list[Append]) -> None:
        began = time.perf_counter()
        try:
            positions = await self._commit(batch)
        except Exception as error:  # noqa: BLE001 -- handed to whom it concerns
            if len(batch) == 1 or isinstance(error, Unavailable):
                for append in batch:
                    if not append.done.done():
                        append.done.set_exception(error)
            else:
                # One of them does not fit; the others must not suffer for it.
                for append in batch:
                    await self._settle([append])
            return
        self._observe(len(batch), time.perf_counter() - began)
        for append, position in zip(batch, positions, strict=True):
            if append.done.done():
                # The caller was canceled; its events are in the log all the same.
                continue
            if position is None:
                append.done.set_exception(append.conflict())
            else:
                append.done.set_result(position)


def _distinct(waiting: list[Append]) -> tuple[list[Append], list[Append]]:
    """Split off a batch in which no task appears twice; the others wait for the next one."""
    task_ids: set[UUID] = set()
    batch: list[Append] = []
    late: list[Append] = []
    for append in waiting:
        if append.task_id in task_ids or len(batch) == MAX_BATCH:
            late.append(append)
        else:
            task_ids.add(append.task_id)
            batch.append(append)
    return batch, late
