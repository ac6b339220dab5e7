"""``tts backup`` and ``tts restore``, as somebody types them, on either database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access import keys as key_file
from gateway.access.roles import Role
from tests.builders import application, brought
from tests.integration.gateway.gateway_under_test import running
from tests.services.stores import Backend
from tts.cli.commands import main
from tts.domain.values import Status
from tts.ports.epochs import WentBack
from tts.ports.log import Recorded


def run(*words: str | Path, **env: str) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], env=env)


@pytest.fixture
def elsewhere(backend: Backend, tmp_path: Path) -> Backend:
    """Where nothing is yet."""
    if backend.server:
        return Backend(backend.server.create_database(), backend.server)
    return Backend(f"sqlite:///{tmp_path / 'new' / 'tts.db'}")


@pytest.fixture
def there(backend: Backend, monkeypatch, tmp_path) -> Backend:
    """A log with two tasks, audio and a key, in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENT_STORE_URL", backend.url)
    monkeypatch.setenv("TTS_API_KEYS_FILE", str(tmp_path / "keys.json"))
    key_file.add(tmp_path / "keys.json", owner="shop", role=Role.APP, expires=None)
    audio = tmp_path / "data" / "audio"
    audio.mkdir(parents=True)
    (audio / "audio-1.wav").write_bytes(b"RIFF")
    (audio / ".half").write_bytes(b"RI")
    asyncio.run(fill(backend))
    return backend


async def fill(backend: Backend) -> None:
    """Two more tasks, one of which has succeeded."""
    async with backend.store() as store:
        app = application(store)
        task, _ = await app.request(template_id="t", text="你好")
        await brought(app, task.id, Status.SUCCEEDED)
        await app.request(template_id="t", text="再见")


async def log(backend: Backend) -> list[Recorded]:
    async with backend.store() as store:
        return await store.read(0, 1000)


def test_what_was_there_is_there_again(there: Backend, elsewhere: Backend, tmp_path):
    """Events, texts, audio and keys; positions go on above all that were ever given."""
    before = asyncio.run(log(there))
    result = run("backup", tmp_path / "copy")
    assert result.exit_code == 0, result.output
    asyncio.run(fill(there))
    lost = asyncio.run(log(there))[-1].position

    new = tmp_path / "restored"
    words = ("restore", tmp_path / "copy", "--data", new)
    keys = str(new / "keys.json")
    result = run(*words, EVENT_STORE_URL=elsewhere.url, TTS_API_KEYS_FILE=keys)
    assert result.exit_code == 0, result.output

    async def look() -> None:
        async with elsewhere.store() as store:
            assert await store.read(0, 1000) == before
            payload = await store.payload(before[0].task_id)
            assert payload
            assert payload.text == "你好"
            with pytest.raises(WentBack):
                await store.read(lost, 10)
            _, position = await application(store).request(template_id="t", text="x")
            assert position > lost

    asyncio.run(look())
    assert sorted(path.name for path in (new / "audio").iterdir()) == ["audio-1.wav"]
    assert [key.owner for key in key_file.load(Path(keys)).keys] == ["shop"]
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0


async def test_a_backup_before_an_upgrade_is_of_the_older_version(tmp_path):
    """Whoever makes it changes nothing, not even the version of the tables."""
    backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    async with backend.store():
        pass
    with contextlib.closing(sqlite3.connect(backend.path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    result = await asyncio.to_thread(run, "backup", tmp_path / "copy", "--data", tmp_path)
    assert result.exit_code == 0, result.output
    for path in (backend.path, tmp_path / "copy" / "log.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)


async def test_streams_of_what_is_gone_are_reset(tmp_path):
    """A client that has seen more than the backup is told so, and goes on."""
    async with running(tmp_path) as its:
        await its.post()
        result = await asyncio.to_thread(run, "backup", tmp_path / "copy", "--data", tmp_path)
        assert result.exit_code == 0, result.output
        await its.post()
        seen = await its.store.position()
    new = tmp_path / "new"
    result = await asyncio.to_thread(run, "restore", tmp_path / "copy", "--data", new)
    assert result.exit_code == 0, result.output
    async with running(new) as its, its.stream(headers={"Last-Event-ID": str(seen)}) as stream:
        reset = (await stream.of("reset")).json()
        assert reset["reason"] == "future"
        task_id = await its.post()
        (update,) = await stream.updates(1)
        assert update["taskId"] == str(task_id)
        assert update["position"] > seen


def test_nothing_is_written_over(there: Backend, tmp_path):
    """Neither a backup that is there, nor a log."""
    assert run("backup", tmp_path / "copy").exit_code == 0
    again = run("backup", tmp_path / "copy")
    assert again.exit_code == 1
    assert "exists already" in again.output
    before = asyncio.run(log(there))
    over = run("restore", tmp_path / "copy")
    assert over.exit_code == 1
    assert "already" in over.output
    assert asyncio.run(log(there)) == before


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("change", ["byte", "file", "manifest", "format", "none"])
def test_a_backup_that_is_not_whole_is_refused(backend, elsewhere, tmp_path, change):
    """Before anything is written."""
    copy = tmp_path / "copy"
    assert run("backup", copy).exit_code == 0
    file = copy / ("log.db" if backend.is_sqlite else "log.dump")
    match change:
        case "byte":
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        case "file":
            file.unlink()
        case "manifest":
            (copy / "backup.json").write_text("{")
        case "format":
            manifest = json.loads((copy / "backup.json").read_text())
            (copy / "backup.json").write_text(json.dumps(manifest | {"format": 9}))
        case "none":
            (copy / "backup.json").unlink()
    result = run("restore", copy, "--data", tmp_path / "new", EVENT_STORE_URL=elsewhere.url)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert not (elsewhere.is_sqlite and elsewhere.path.exists())


@pytest.mark.usefixtures("there")
def test_a_kind_of_database_stays_what_it_is(backend, postgres, tmp_path):
    """A dump cannot become a file, nor the other way round."""
    assert run("backup", tmp_path / "copy").exit_code == 0
    other = postgres.create_database() if backend.is_sqlite else f"sqlite:///{tmp_path / 'x.db'}"
    result = run("restore", tmp_path / "copy", EVENT_STORE_URL=other)
    assert result.exit_code == 1
    assert "EVENT_STORE_URL names" in result.output


def test_a_missing_tool_is_named(there: Backend, monkeypatch, tmp_path):
    """With where it comes from; half a backup is not taken for one."""
    if there.is_sqlite:
        (tmp_path / "data" / "audio" / "audio-2.wav").symlink_to(tmp_path)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    result = run("backup", tmp_path / "copy")
    assert result.exit_code == 1, result.output
    assert ("postgresql-client" in result.output) != there.is_sqlite
    assert not (tmp_path / "copy").exists()


async def test_a_backup_is_made_while_others_write(tmp_path):
    """Of one moment: it holds every event up to its position."""
    backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    async with backend.store() as store:
        app = application(store)
        writing = asyncio.create_task(_write(app))
        await asyncio.sleep(0)
        result = await asyncio.to_thread(run, "backup", tmp_path / "copy", "--data", tmp_path)
        assert result.exit_code == 0, result.output
        assert not writing.done()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        events = await store.read(0, 100_000)
    copy = Backend(f"sqlite:///{shutil.copy(tmp_path / 'copy' / 'log.db', tmp_path / 'c.db')}")
    async with copy.store() as store:
        copied = await store.read(0, 100_000)
        assert copied == events[: len(copied)]


async def _write(app) -> None:
    while True:
        await app.request(template_id="t", text="x")
