"""The log and its archives, read as if nothing had ever left it: to make read models from."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from tts.cli.archive import files
from tts.cli.archive.files import Archive
from tts.cli.archive.run import identity
from tts.config import ConfigError
from tts.parts.event_store import Store
from tts.ports.coordination import Leadership
from tts.ports.epochs import Epochs
from tts.ports.log import Recorded


class WholeLog:
    """Implements Source of :mod:`projections.rebuild` over a store and what was taken out of it."""

    archived_to = 0  # nothing is missing

    def __init__(self, store: Store, archives: Sequence[Archive]) -> None:
        self._store = store
        self._archives = {archive.manifest.name: archive for archive in archives}
        self._end = max((archive.manifest.last for archive in archives), default=0)
        self._position = -1
        self._archived: Iterator[Recorded] = iter(())
        self._ahead: deque[Recorded] = deque()  # of the archives, read and not given yet
        # Dead letters and erasures send back to tasks that ended shortly before.
        self._histories = lru_cache(maxsize=2)(self._histories_of)

    @classmethod
    async def of(cls, store: Store, folders: Sequence[Path]) -> WholeLog:
        """The log with the archives in the folders.

        Raises:
            ConfigError: one is missing, damaged, or another log's.
        """
        here = {a.manifest.name: a for folder in folders for a in files.archives(folder)}
        log, _ = await identity(store)
        needed = [standing.name for standing in await store.archive.standings() if standing.tasks]
        if missing := [name for name in needed if name not in here]:
            raise ConfigError(f"{', '.join(missing)}: not in {', '.join(map(str, folders))}")
        for name in needed:
            of_log(here[name], log)
            here[name].check()
        return cls(store, [here[name] for name in needed])

    @property
    def epochs(self) -> Epochs:
        """See :class:`tts.ports.log.Log`."""
        return self._store.epochs

    async def position(self, seen: int = 0) -> int:
        """See :class:`tts.ports.log.Log`."""
        return await self._store.position(seen)

    async def read(self, after: int, limit: int, topics: Collection[str] = ()) -> list[Recorded]:
        """See :class:`tts.ports.log.Log`."""
        events = await self._store.read(after, limit, topics)
        if after >= self._end:
            return events
        if after != self._position:
            self._archived = merged(list(self._archives.values()), after)
            self._ahead.clear()
        until = events[-1].position if len(events) == limit else None
        for event in self._archived_to(until, limit):
            if not topics or event.topic in topics:
                events.append(event)
        # One that is in two places is the same: its task has changed after it was archived.
        events = sorted({e.position: e for e in events}.values(), key=lambda e: e.position)[:limit]
        self._position = events[-1].position if events else self._end
        while self._ahead and self._ahead[0].position <= self._position:
            self._ahead.popleft()
        return events

    async def events(self, task_id: UUID) -> list[Recorded]:
        """See :class:`tts.ports.log.EventStore`."""
        if events := await self._store.events(task_id):
            return events
        for archived in await self._store.archived([task_id]):
            return self._histories(archived.archive).get(task_id, [])
        return []

    def follow(
        self, after: int, *, batch: int = 500, topics: Collection[str] = ()
    ) -> AsyncIterator[list[Recorded]]:
        """See :class:`tts.ports.log.Log`; of what was not archived."""
        return self._store.follow(after, batch=batch, topics=topics)

    def leadership(self, name: str) -> AbstractAsyncContextManager[Leadership]:
        """See :class:`tts.ports.coordination.Coordination`."""
        return self._store.leadership(name)

    async def checkpoint(self, name: str) -> int:
        """See :class:`tts.ports.coordination.Coordination`."""
        return await self._store.checkpoint(name)

    async def save_checkpoint(self, name: str, position: int, seen: int | None = None) -> None:
        """See :class:`tts.ports.coordination.Coordination`."""
        await self._store.save_checkpoint(name, position, seen)

    def _archived_to(self, until: int | None, limit: int) -> Iterator[Recorded]:
        """The next ones of the archives, ``limit`` at most and none behind ``until``."""
        while len(self._ahead) < limit and (event := next(self._archived, None)) is not None:
            self._ahead.append(event)
        return (e for e in list(self._ahead)[:limit] if until is None or e.position <= until)

    def _histories_of(self, name: str) -> dict[UUID, list[Recorded]]:
        return self._archives[name].histories()


def of_log(archive: Archive, log: str) -> None:
    """Return if the archive is of that log.

    Raises:
        ConfigError: it is not.
    """
    if archive.manifest.log != log:
        raise ConfigError(f"{archive.path} is of another log: positions mean nothing here")


def merged(archives: Sequence[Archive], after: int) -> Iterator[Recorded]:
    """The events of several archives behind a position, in order; few of them are open at once."""
    waiting = deque(sorted(archives, key=lambda archive: archive.manifest.first))
    heap: list[tuple[int, int, Recorded, Iterator[Recorded]]] = []
    number = 0

    def push(events: Iterator[Recorded]) -> None:
        nonlocal number
        event = next((event for event in events if event.position > after), None)
        if event is not None:
            number += 1
            heapq.heappush(heap, (event.position, number, event, events))

    while waiting or heap:
        while waiting and (not heap or waiting[0].manifest.first <= heap[0][0]):
            archive = waiting.popleft()
            if archive.manifest.last > after:
                push(archive.events())
        if heap:
            _, _, event, events = heapq.heappop(heap)
            yield event
            push(events)
