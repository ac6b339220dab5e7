"""Events come back from archives to where they were in their log."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from uuid import UUID

from tts.application.archives import Facts
from tts.application.tasks import Application
from tts.cli.archive import files
from tts.cli.archive.files import Archive
from tts.cli.archive.run import PAUSE_SECONDS, batches, identity
from tts.cli.archive.whole_log import of_log
from tts.domain.errors import DomainError
from tts.parts.event_store import Store
from tts.ports.archive import ArchiveStanding

BY = "archive"


async def bring_back(
    store: Store, application: Application, folder: Path
) -> tuple[int, list[ArchiveStanding]]:
    """Bring back all that the archives in the folder have; returns how many tasks came back.

    The second value are archives that are not there, and have tasks of the log.

    Raises:
        ConfigError: one is damaged, or another log's; what was brought back before it stays.
        Unfit, Unavailable
    """
    log, _ = await identity(store)
    taken = {standing.name for standing in await store.archive.standings()}
    tasks = 0
    for archive in files.archives(folder):
        of_log(archive, log)
        archive.check()
        if archive.manifest.name in taken:
            tasks += await _bring_back(store, application, archive)
    return tasks, [standing for standing in await store.archive.standings() if standing.tasks]


async def _bring_back(store: Store, application: Application, archive: Archive) -> int:
    name, tasks = archive.manifest.name, 0
    await store.archive.begin(name)
    for batch in batches(archive.histories().values()):
        began = time.monotonic()
        kept = await store.archived([history[0].task_id for history in batch])
        erased = [task.task_id for task in kept if Facts.read(task).is_erased]
        tasks += await store.archive.restore(name, files.in_order(batch))
        for task_id in erased:
            await _erase(application, task_id)
        await asyncio.sleep(max(time.monotonic() - began, PAUSE_SECONDS))
    await store.archive.finish(name)
    return tasks


async def _erase(application: Application, task_id: UUID) -> None:
    """What was said and spoken is gone already: have the log say so, too."""
    with contextlib.suppress(DomainError):  # it did when it was archived
        await application.change(task_id, lambda task: task.erase(by=BY, now=application.now()))
