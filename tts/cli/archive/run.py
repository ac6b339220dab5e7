"""A run: an archive is written to its end, and only then do its tasks leave the log, few at once.

Whatever breaks off, each event is in the log or in an archive that is whole: what was written and
not announced as done is gone on with by the next run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tts.application.archives import Facts
from tts.application.tasks import Application
from tts.cli.archive import files
from tts.cli.archive.choice import Choice, History
from tts.cli.archive.files import Archive, Manifest
from tts.parts.event_store import Store
from tts.ports.log import ArchivedTask

ARCHIVE_EVENTS = 50_000  # of one file: they are held in memory
BATCH_EVENTS = 100  # of one transaction, which holds up whoever appends
PAUSE_SECONDS = 0.005  # at least, between two of them


class Ended(Exception):
    """Somebody has ended the run; the next one goes on."""


@dataclass
class Tally:
    """What a run has done, or would do."""

    tasks: int = 0
    events: int = 0
    bytes: int = 0
    archives: list[Archive] = field(default_factory=list)

    def add(self, history: History) -> None:
        """Count a task that goes."""
        self.tasks += 1
        self.events += len(history)
        self.bytes += sum(len(event.state) for event in history)


class Run:
    """Moves tasks into archives in the ``folder``; ``version`` is that of the service."""

    def __init__(
        self,
        store: Store,
        application: Application,
        folder: Path,
        *,
        version: str,
        observe: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        self.tally = Tally()
        self.ended = False
        self._store = store
        self._application = application
        self._folder = folder
        self._version = version
        self._observe = observe

    async def resume(self) -> None:
        """Go on with what an earlier run has not done; its archive may be in another folder.

        What that run has not moved stands in the log, and goes into the next archive.

        Raises:
            ConfigError: its archive is here, and is not whole.
            Ended
        """
        files.clear(self._folder)
        here = {archive.manifest.name: archive for archive in files.archives(self._folder)}
        for standing in await self._store.archive.standings():
            if standing.done:
                continue
            if (archive := here.get(standing.name)) is not None:
                archive.check()
                await self._move(archive.manifest.name, list(archive.histories().values()))
                self.tally.archives.append(archive)
            await self._store.archive.finish(standing.name)

    async def move(self, choice: Choice) -> None:
        """Move all that may go.

        Raises:
            ConfigError, Unfit, Unavailable: what is not moved yet is in the log.
            Ended
        """
        chosen: list[History] = []
        events = 0
        async for history in choice.histories():
            chosen.append(history)
            events += len(history)
            if events >= ARCHIVE_EVENTS:
                await self._archive(chosen, choice.before)
                chosen, events = [], 0
        if chosen:
            await self._archive(chosen, choice.before)

    async def _archive(self, histories: Sequence[History], before: datetime) -> None:
        if self.ended:
            raise Ended
        events = files.in_order(histories)
        first, last = events[0].position, events[-1].position
        now = self._application.now()
        name = f"events-{first:012}-{last:012}-{now:%Y%m%dT%H%M%SZ}"
        log, epoch = await identity(self._store)
        await self._store.archive.begin(name)
        manifest = Manifest(
            name,
            log,
            epoch,
            now.isoformat(timespec="seconds"),
            before.isoformat(),
            self._version,
            len(histories),
            len(events),
            first,
            last,
        )
        self.tally.archives.append(files.write(self._folder, manifest, events))
        await self._move(name, histories)
        await self._store.archive.finish(name)

    async def _move(self, name: str, histories: Sequence[History]) -> None:
        for batch in batches(histories):
            if self.ended:
                raise Ended
            began = time.monotonic()
            tasks = [self._kept(name, history) for history in batch]
            moved = await self._store.archive.move(name, tasks)
            for history in batch:
                if history[0].task_id in moved:
                    self.tally.add(history)
            self._observe(self.tally)
            # Whoever appends has most of the time, of the disk and of the machine.
            await asyncio.sleep(max(2 * (time.monotonic() - began), PAUSE_SECONDS))

    def _kept(self, name: str, history: History) -> ArchivedTask:
        task, newest = self._application.replay(history), history[-1]
        facts = Facts.of(task, newest.position, self._application.now())
        return ArchivedTask(task.id, task.owner, newest.version, newest.position, name, facts.text)


async def identity(store: Store) -> tuple[str, int]:
    """The id that the log was made with, and the number of its present epoch."""
    await store.position()
    epochs = store.epochs
    assert epochs.oldest is not None  # noqa: S101 -- the log was reached
    assert epochs.newest is not None  # noqa: S101 -- the log was reached
    return str(epochs.oldest.id), epochs.newest.number


def batches(histories: Iterable[History]) -> Iterator[list[History]]:
    """The tasks in their order, in groups of few events."""
    batch: list[History] = []
    events = 0
    for history in histories:
        if batch and events + len(history) > BATCH_EVENTS:
            yield batch
            batch, events = [], 0
        batch.append(history)
        events += len(history)
    if batch:
        yield batch
