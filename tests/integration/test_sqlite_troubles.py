"""A file that is damaged, and a disk that is full: what can be made anew is, the rest is said."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from projections.database import open_database
from projections.ports import Database
from projections.task_queries import TaskQueries
from tests.integration.gateway.gateway_under_test import Running, running
from tests.read_models import caught_up, project, projecting
from tests.services.disk import SmallDisk
from tests.services.process import User
from tests.services.stores import Backend
from tests.waiting import until
from tts.ports.errors import Unavailable, Unfit


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(f"sqlite:///{tmp_path / 'tts.db'}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A few megabytes at ``disk`` in the test's folder."""
    disk = SmallDisk(tmp_path / "disk", 4, User("nobody"))
    yield disk
    disk.unmount()


@contextlib.asynccontextmanager
async def listed(its: Running, backend: Backend) -> AsyncIterator[Database]:
    """The database of a projector that runs while the context is open."""
    async with open_database(backend.url) as database, projecting(its.store, database):
        yield database


def damage(file: Path, *readers: sqlite3.Connection, start: int = 0) -> None:
    """Overwrite everything from there on, as a broken disk might; readers remember nothing."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(os.urandom(file.stat().st_size - start))
    for reader in readers:
        reader.execute("PRAGMA shrink_memory")


def inode(file: Path) -> int:
    return file.stat().st_ino if file.exists() else 0


class TestReadModels:
    @pytest.mark.parametrize("start", [0, 100])
    async def test_that_are_damaged_are_made_anew(
        self, tmp_path: Path, backend: Backend, start: int, caplog
    ):
        """At a start: with a warning, from the log, without anybody's help."""
        async with running(tmp_path) as its:
            tasks = [await its.post() for _ in range(3)]
            async with open_database(backend.url) as database:
                await project(its.store, database)
        damage(tmp_path / "tts.read.db", start=start)
        async with running(tmp_path) as its, listed(its, backend) as database:
            assert "Read models are made anew" in caplog.text
            await caught_up(its.store, database)
            answer = await its.client.get("/api/tts/tasks")
            found = {task["taskId"] for task in answer.json()["data"]["tasks"]}
            assert found == set(map(str, tasks))

    async def test_that_break_meanwhile_are_made_anew(self, tmp_path: Path, backend: Backend):
        """The gateway and the projector, each with the file open, find the new one."""
        async with running(tmp_path) as its, listed(its, backend) as database:
            await its.post()
            await caught_up(its.store, database)
            file = tmp_path / "tts.read.db"
            before = inode(file)
            damage(file, database._writer._opened)
            await its.post()
            await until(lambda: inode(file) not in {0, before}, "it is another file")

            async def complete() -> bool:
                answer = await its.client.get("/api/tts/tasks")
                return answer.is_success and len(answer.json()["data"]["tasks"]) == 2

            await until(complete, "the gateway lists both")

    async def test_that_are_taken_away_come_again(self, tmp_path: Path, backend: Backend):
        """Who deletes the file to have it built anew need not stop anything."""
        file = tmp_path / "tts.read.db"
        async with open_database(backend.url) as database:
            file.unlink()
            assert await TaskQueries(database).counts() == {}
            assert inode(file)


class TestTheLog:
    async def test_that_is_damaged_is_no_start(self, tmp_path: Path, backend: Backend):
        """At once, with what to do; and it stays as it is, for whoever may save something."""
        async with running(tmp_path) as its:
            await its.post()
        log = tmp_path / "tts.db"
        damage(log)
        contents = log.read_bytes()
        with pytest.raises(Unfit, match=r"tts\.db: file is not a database\. Restore it"):
            async with backend.store():
                pass
        assert log.read_bytes() == contents

    async def test_that_breaks_meanwhile_is_said_in_health(self, tmp_path: Path):
        """Whoever reads it gets an error; health says what to do."""
        async with running(tmp_path) as its:
            for _ in range(20):
                await its.post()
            damage(tmp_path / "tts.db", its.store._connections._reader, start=4096)
            with pytest.raises(Unavailable):
                await its.store.read(0, 10)
            health = await its.client.get("/health")
            said = health.json()["data"]["parts"]["store"]
            assert said == "the file is damaged: restore it from a backup"

    async def test_on_a_full_disk_is_said_in_health(self, disk: SmallDisk, tmp_path: Path, caplog):
        """Nothing is accepted, nobody sees a path or a traceback, and it goes on by itself."""
        async with running(tmp_path / "disk") as its:
            await its.post()
            disk.fill()
            body = {"templateId": "t", "tts_text": "很长的话。" * 1000}
            refused = await its.client.post("/api/tts", json=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            health = await its.client.get("/health")
            assert health.status_code == 503
            assert health.json()["data"]["parts"]["store"] == "the disk is full: make room on it"
            assert str(tmp_path) not in health.text
            assert not [record for record in caplog.records if record.exc_info]
            disk.free()
            assert (await its.client.get("/health")).status_code == 200
            await its.post()
