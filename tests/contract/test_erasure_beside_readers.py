"""Erasing from a SQLite file that somebody reads for long: nobody who writes waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from tests.services.stores import Backend, Store
from tests.waiting import SECONDS, until
from tts.ports.errors import Unavailable
from tts.ports.log import Payload
from tts.store import sqlite_connections

APPENDS = 100
NOISE = 10  # of them may meet a machine that has other work
SLACK_SECONDS = 1.0  # a writer that is held waits for as long as somebody reads


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(f"sqlite:///{tmp_path / 'tts.db'}")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Somebody copies the file, and sees it all the while as it is now."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM stored_events").fetchone()
        yield


async def append(store: Store, text: str = "你好") -> UUID:
    task = uuid4()
    await store.append([StoredEvent(task, 1, "tts.task.queued", b"{}")], Payload(text, "", "salt"))
    return task


async def slowest(store: Store) -> float:
    """How long all but :data:`NOISE` take at most, in seconds, when four come at once."""
    gate = asyncio.Semaphore(4)

    async def timed() -> float:
        async with gate:
            began = time.monotonic()
            await append(store)
            return time.monotonic() - began

    async with asyncio.timeout(SECONDS):
        return sorted(await asyncio.gather(*(timed() for _ in range(APPENDS))))[-NOISE - 1]


async def erased(store: Store, task: UUID) -> bool:
    try:
        await store.erase(task)
    except Unavailable:
        return False
    return True


async def test_nobody_who_writes_waits_for_an_erasure(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
):
    """Ten of them beside a reader that does not end: appends take as long as without."""
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 2 * SECONDS)
    async with backend.store() as store:
        tasks = [await append(store) for _ in range(10)]
        alone = await slowest(store)
        with reading(backend.path):
            erasures = [asyncio.create_task(erased(store, task)) for task in tasks]
            beside = await slowest(store)
            assert not any(erasure.done() for erasure in erasures)
            assert [await store.payload(task) for task in tasks] == [None] * 10
        assert beside <= 3 * alone + SLACK_SECONDS
        assert all(await asyncio.gather(*erasures))


async def test_an_erasure_that_a_reader_outlasts_is_done_when_he_ends(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
):
    """It says that something is left, goes on by itself, and says when it is gone."""
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 0.3)
    mark = uuid4().hex

    def left() -> bool:
        return any(mark.encode() in path.read_bytes() for path in backend.path.parent.iterdir())

    async with backend.store() as store:
        task = await append(store, mark)
        with reading(backend.path):
            with pytest.raises(Unavailable, match="perhaps a backup"):
                await store.erase(task)
            assert await store.payload(task) is None
            assert left()
            await append(store)
        await until(lambda: not left(), "it is gone, though nobody asks")
        await until(lambda: erased(store, task), "it says so")


async def test_erasures_come_through_however_much_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """A writer that never rests does not hold them up, either."""
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 2 * SECONDS)
    tasks = [await append(store) for _ in range(10)]
    ended = False

    async def write() -> None:
        while not ended:
            await append(store)

    writing = [asyncio.create_task(write()) for _ in range(8)]
    async with asyncio.timeout(SECONDS):
        assert all([await erased(store, task) for task in tasks])
    ended = True
    await asyncio.gather(*writing)
