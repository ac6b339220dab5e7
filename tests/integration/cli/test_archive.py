"""``tts archive`` over both stores, as somebody types it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from eventsourcing.persistence import StoredEvent

from projections import rebuild, registry
from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.tasks import TASKS
from tests.builders import application, brought, failed
from tests.read_models import project, projecting, rows_of
from tests.services.postgres import Postgres
from tests.services.stores import Backend, Store
from tests.waiting import until
from tts.application.archives import Facts
from tts.application.tasks import Application, IdempotencyMismatch, TaskArchived
from tts.audio.folder import FolderAudio
from tts.callbacks import callbacks
from tts.cli.archive import command, files
from tts.cli.archive import run as runs
from tts.cli.commands import main
from tts.domain.values import Status
from tts.ports.callbacks import Callback, CallbackState
from tts.ports.errors import Conflict
from tts.ports.log import ArchivedTask, Recorded
from tts.relay import relay, rescue
from tts.store.callbacks import CallbackRows
from tts.store.postgres import PostgresStore
from tts.store.postgres_archive import PostgresArchive
from tts.store.sqlite import SQLiteStore
from tts.store.sqlite_archive import SQLiteArchive

ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # the other is alike
LONG_AGO = datetime.now(UTC) - timedelta(days=100)
MODELS = [each.name for each in PROJECTIONS]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def archive(folder: Path, *more: str) -> Result:
    return run("archive", "--before", "30d", "--to", folder, *more)


def done(*words: str | Path) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.output


class Site:
    """A log that the service has worked with for long, and what is in it by name."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.tasks: dict[str, UUID] = {}

    async def fill(self) -> None:
        """Tasks of every kind; only the first four may leave the log."""
        async with self.backend.store() as store:
            app = application(store, now=lambda: LONG_AGO)
            await self._speak(app, "spoken", text="你好")
            await self._speak(app, "keyed", text="早", owner="shop", idempotency_key="k")
            await self._request(app, "dismissed")
            await failed(app, self.tasks["dismissed"])
            await app.dismiss(self.tasks["dismissed"], by="ann", reason="seen")
            await self._request(app, "canceled")
            await app.cancel(self.tasks["canceled"], by="ann", reason="no")
            await self._request(app, "letter")
            await failed(app, self.tasks["letter"])
            await self._speak(app, "told", callback_url="https://app.test/hook")
            await self._speak(app, "untold", callback_url="https://app.test/hook")
            await self._speak(application(store), "young")
            await self._request(application(store), "unfinished")
            await self._tell(store)
        await self.catch_up()

    async def catch_up(self) -> None:
        """What relay and projector do."""
        async with self.backend.store() as store, open_database(self.backend.url) as database:
            end = await store.position()
            for name in (relay.NAME, callbacks.NAME):
                await store.save_checkpoint(name, end)
            await store.save_checkpoint(rescue.UNFINISHED, end - 1)
            await project(store, database)

    async def _request(self, app: Application, name: str, **facts: Any) -> None:
        facts = {"template_id": "t", "text": "x", **facts}
        receipt, _ = await app.request(**facts)
        self.tasks[name] = receipt.id

    async def _speak(self, app: Application, name: str, **facts: Any) -> None:
        await self._request(app, name, **facts)
        await brought(app, self.tasks[name], Status.SUCCEEDED)

    async def _tell(self, store: Store) -> None:
        if isinstance(store, SQLiteStore):
            table = CallbackRows.in_sqlite(self.backend.path)
        else:
            table = CallbackRows.in_postgres(store.server)
        for name, state in (("told", "delivered"), ("untold", "failed")):
            version = len(await store.events(self.tasks[name]))
            callback = Callback(
                self.tasks[name], version, "https://app.test/hook", 1, None, CallbackState(state)
            )
            await table.add([callback])
        await table.aclose()

    def log(self) -> list[Recorded]:
        """All that is in it."""

        async def read() -> list[Recorded]:
            async with self.backend.store() as store:
                return await store.read(0, 10_000)

        return asyncio.run(read())

    def names(self) -> set[str]:
        """The tasks that have events in the log."""
        there = {event.task_id for event in self.log()}
        return {name for name, task_id in self.tasks.items() if task_id in there}


GONE = {"spoken", "keyed", "dismissed", "canceled", "told"}


@pytest.fixture
def site(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """In the environment, as the commands find it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENT_STORE_URL", backend.url)
    monkeypatch.setattr(rebuild, "GRACE_SECONDS", 0.01)
    site = Site(backend)
    asyncio.run(site.fill())
    return site


def archived(folder: Path) -> list[Recorded]:
    """Every event in the archives, however often it is there."""
    return files.in_order([list(each.events()) for each in files.archives(folder)])


def test_what_nobody_needs_any_more_goes_and_the_rest_stays(site: Site, tmp_path: Path) -> None:
    """Each event is in the log or in the archive, as it was; it can be read there by anybody."""
    before, folder = site.log(), tmp_path / "old"
    tried = done("archive", "--before", "30d", "--dry-run")
    assert tried.startswith(f"{len(GONE)} tasks with ")
    assert site.log() == before
    result = archive(folder)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{len(GONE)} tasks with {len(archived(folder))} events went")
    assert "stay: 1 dead letters that nobody has dismissed" in result.output
    assert "stay: 1 with a callback that was not delivered" in result.output
    assert "used by what comes next" in result.output
    assert "could go" not in result.output
    assert site.names() == set(site.tasks) - GONE
    assert files.in_order([archived(folder), site.log()]) == before

    (path,) = folder.glob("*.jsonl.gz")
    with gzip.open(path) as file:
        lines = file.read().splitlines()
    first = json.loads(lines[0])
    assert first["task"] == str(site.tasks["spoken"])
    assert {"position": 1, "version": 1, "topic": "tts.task.requested"}.items() <= first.items()
    assert first["timestamp"] == first["state"]["timestamp"]
    assert not any("你好".encode() in line for line in lines)
    assert path.stat().st_mode & 0o077 == 0

    (listed,) = done("archive", "list", folder).splitlines()
    assert listed.startswith(path.name.removesuffix(".jsonl.gz"))
    assert listed.endswith("whole")
    shown = done("archive", "show", folder, str(site.tasks["spoken"])).splitlines()
    assert [line.split()[1] for line in shown][-1] == "tts.task.succeeded"
    assert len(shown) == 8

    again = archive(folder)
    assert again.output.startswith("0 tasks with 0 events went"), again.output


def test_an_archived_task_answers_and_nothing_happens_to_it(site: Site, tmp_path: Path) -> None:
    """Its Idempotency-Key stands for it; it is retried, dismissed or appended to no more."""
    assert archive(tmp_path / "old").exit_code == 0

    async def look() -> None:
        async with site.backend.store() as store:
            app, keyed = application(store), site.tasks["keyed"]
            order = {"template_id": "t", "owner": "shop", "idempotency_key": "k"}
            receipt, position = await app.request(text="早", **order)
            assert (receipt.id, receipt.version) == (keyed, 8)
            assert await app.is_repeated("shop", "k")
            for changes in ({"text": "晚"}, {"text": "早", "template_id": "u"}):
                with pytest.raises(IdempotencyMismatch):
                    await app.request(**order | changes)
            assert await store.position() > position
            assert not await store.events(keyed)
            with pytest.raises(TaskArchived):
                await app.load(keyed, "shop")
            with pytest.raises(Exception, match="does not exist"):
                await app.load(keyed, "somebody else")
            with pytest.raises(TaskArchived):
                await app.retry(site.tasks["dismissed"], by="ann", reason="now")
            for task_id in (keyed, uuid4()):  # that which has events goes on
                payload = await store.payload(task_id)
                assert (payload is not None) == (task_id == keyed)

    asyncio.run(look())


def test_an_archived_task_can_be_erased_and_comes_back_so(site: Site, tmp_path: Path) -> None:
    """Its text was never in the archive; audio goes as ever."""
    folder, before = tmp_path / "old", site.log()
    assert archive(folder).exit_code == 0
    spoken, audio = site.tasks["spoken"], tmp_path / "audio"

    async def erase() -> None:
        async with site.backend.store() as store:
            app, heard = application(store), FolderAudio(audio, "http://h")
            kept = await app.archived(spoken)
            assert kept is not None
            (audio / Facts.read(kept).audio[0]).write_bytes(b"RIFF")
            for _ in range(2):
                erased = await app.erase(spoken, heard, by="ann")
                assert (erased.status, erased.position) == ("succeeded", before[7].position)
            assert await store.payload(spoken) is None

    asyncio.run(erase())
    assert not list(audio.glob("*.wav"))
    assert done("archive", "restore", folder).startswith(f"{len(GONE)} tasks are back")
    *restored, last = site.log()
    assert restored == before
    assert (last.task_id, last.topic) == (spoken, "tts.task.erased")
    assert done("archive", "restore", folder).startswith("0 tasks are back")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the n-th step of a run be its last; the list holds n."""
    left = [0]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def dying(function: Any) -> Any:
        def replaced(*arguments: Any) -> Any:
            step()
            return function(*arguments)

        return replaced

    for place, name in ((os, "fsync"), (files, "_sync_folder"), (files, "measured")):
        monkeypatch.setattr(place, name, dying(getattr(place, name)))
    for kind in (SQLiteArchive, PostgresArchive):
        for name in ("begin", "move", "finish", "restore"):
            monkeypatch.setattr(kind, name, dying(getattr(kind, name)))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    monkeypatch.setattr(runs, "BATCH_EVENTS", 10)
    monkeypatch.setattr(runs, "ARCHIVE_EVENTS", 20)
    return left


def until_it_lives(left: list[int], *words: str | Path) -> int:
    """Run again and again, killed one step later each time; returns how often it was killed."""
    for n in range(1, 200):
        left[0] = n
        try:
            done(*words)
        except Killed:
            continue
        left[0] = 0
        return n - 1
    raise AssertionError


def test_killed_anywhere_nothing_is_lost_or_doubled(
    site: Site, mortal: list[int], tmp_path: Path
) -> None:
    """Whoever runs it again goes on, and so does who brings all back."""
    before, folder = site.log(), tmp_path / "old"
    words = ("archive", "--before", "30d", "--to", folder)
    assert until_it_lives(mortal, *words) > 10
    assert files.in_order([archived(folder), site.log()]) == before
    assert site.names() == set(site.tasks) - GONE
    assert not list(folder.glob("*.partial"))
    assert until_it_lives(mortal, "archive", "restore", folder) > 2
    assert site.log() == before


def test_what_changes_meanwhile_stays(site: Site, tmp_path: Path, monkeypatch) -> None:
    """Somebody asks for a task again between the writing and the moving."""
    before, written = site.log(), files.write

    def write(*arguments: Any) -> Any:
        found = written(*arguments)

        async def retry() -> None:
            async with site.backend.store() as store:
                await application(store).retry(site.tasks["dismissed"], by="ann", reason="now")

        thread = Thread(target=lambda: asyncio.run(retry()))
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(files, "write", write)
    result = archive(tmp_path / "old")
    assert result.exit_code == 0, result.output
    assert site.names() == set(site.tasks) - GONE | {"dismissed"}
    there = [event for event in site.log() if event.task_id == site.tasks["dismissed"]]
    assert [event.topic for event in there][-1] == "tts.task.retry_requested"
    assert there[:-1] == [e for e in before if e.task_id == site.tasks["dismissed"]]


async def test_only_what_is_as_it_was_written_leaves_the_log(store: Store) -> None:
    """And never its newest event, behind which positions go on; what has left takes no more."""
    app = application(store)
    receipt, _ = await app.request(template_id="t", text="x")
    await brought(app, receipt.id, Status.SUCCEEDED)
    events, end = await store.events(receipt.id), await store.position()
    task = ArchivedTask(receipt.id, "", len(events), end, "a", "{}")
    await store.archive.begin("a")
    assert await store.archive.move("a", [task]) == set()
    await app.request(template_id="t", text="x")
    assert await store.archive.move("a", [replace(task, version=task.version - 1)]) == set()
    assert await store.events(receipt.id) == events
    assert await store.archive.move("a", [task]) == {receipt.id}
    assert await store.archived([receipt.id, uuid4()]) == [task]
    for version in (1, task.version + 1):
        with pytest.raises(Conflict):
            await store.append([StoredEvent(receipt.id, version, "tts.task.queued", b"{}")])
    assert (await store.position(), store.archived_to) == (end + 1, end)
    assert await store.archive.restore("a", events) == 1
    await store.archive.finish("a")
    assert await store.read(0, 100) == [*events, *await store.read(end, 100)]
    assert store.archived_to == 0


def test_read_models_are_not_made_from_less(site: Site, tmp_path: Path) -> None:
    """They keep their rows; to make them anew takes the archives, and gives the same rows."""
    folder = tmp_path / "old"

    async def rows() -> dict[str, Any]:
        async with open_database(site.backend.url) as database:
            return await rows_of(database)

    before = asyncio.run(rows())
    assert archive(folder).exit_code == 0
    assert asyncio.run(rows()) == before
    for words in (("rebuild", *MODELS), ("verify", "tasks")):
        refused = run("projections", *words)
        assert refused.exit_code == 1
        assert "--archive FOLDER" in refused.output
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = run("projections", "verify", "tasks", "--archive", empty)
    assert f"not in {empty}" in missing.output
    for model in MODELS:
        assert "are as the log gives them" in done(
            "projections", "verify", model, "--archive", folder
        )

    async def damage() -> None:
        async with open_database(site.backend.url) as database:
            table = TASKS.at((await registry.serving(database))["tasks"].place)
            async with database.transaction() as transaction:
                await transaction.execute(f"UPDATE {table} SET owner = 'nobody'")  # noqa: S608

    asyncio.run(damage())
    done("projections", "rebuild", *MODELS, "--archive", folder)
    assert asyncio.run(rows()) == before


@ON_SQLITE
def test_a_projector_does_not_begin_anew_with_less(site: Site, tmp_path: Path) -> None:
    """Its rows are gone: it stops, and says what makes them again."""
    assert archive(tmp_path / "old").exit_code == 0

    async def look() -> None:
        async with site.backend.store() as store, open_database(site.backend.url) as database:
            async with database.transaction() as transaction:
                await transaction.execute("UPDATE read_models SET position = 0")
            async with projecting(store, database):

                async def said() -> bool:
                    troubles = [each.trouble or "" for each in await registry.standings(database)]
                    return all("--archive FOLDER" in trouble for trouble in troubles)

                await until(said, "every read model says what it needs")

    asyncio.run(look())


@ON_SQLITE
@pytest.mark.parametrize("follower", [relay.NAME, callbacks.NAME, rescue.UNFINISHED, "tasks"])
def test_nothing_goes_that_somebody_has_not_seen(
    backend: Backend, monkeypatch, tmp_path: Path, follower: str
) -> None:
    """Whoever follows the log meets each task with all of its events, or not at all."""
    monkeypatch.setenv("EVENT_STORE_URL", backend.url)
    site = Site(backend)
    kind = SQLiteStore if backend.is_sqlite else PostgresStore
    saved = kind.save_checkpoint

    async def save(self: Any, name: str, position: int, seen: int | None = None) -> None:
        await saved(self, name, 1 if name == follower else position, seen)

    monkeypatch.setattr(kind, "save_checkpoint", save)
    asyncio.run(site.fill())
    if follower == "tasks":
        asyncio.run(_set_back(backend))
    result = archive(tmp_path / "old")
    assert result.output.startswith("0 tasks"), result.output
    assert "Nothing behind position" in result.output
    assert follower in result.output


async def _set_back(backend: Backend) -> None:
    async with open_database(backend.url) as database, database.transaction() as transaction:
        await transaction.execute("UPDATE read_models SET position = 1 WHERE name = 'tasks'")


def test_a_backup_has_what_was_archived(site: Site, tmp_path: Path) -> None:
    """A log that is restored knows its archived tasks, and takes its archives back."""
    folder, before = tmp_path / "old", site.log()
    assert archive(folder).exit_code == 0
    done("backup", tmp_path / "copy")
    new = (
        Backend(site.backend.server.create_database(), site.backend.server)
        if site.backend.server
        else Backend(f"sqlite:///{tmp_path / 'new' / 'tts.db'}")
    )
    env = {"EVENT_STORE_URL": new.url}
    words = ["restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new")]
    assert CliRunner().invoke(main, words, env=env).exit_code == 0
    back = CliRunner().invoke(main, ["archive", "restore", str(folder)], env=env)
    assert back.output.startswith(f"{len(GONE)} tasks are back"), back.output
    assert Site.log(Site(new)) == before


@ON_SQLITE
def test_what_is_wrong_is_said_in_a_sentence(site: Site, tmp_path: Path) -> None:
    """Before anything is moved."""
    before, folder = site.log(), tmp_path / "old"
    for words, sentence in {
        ("--before", "30d"): "--to",
        ("--before", "1m", "--dry-run"): "is no age such as",
        ("--before", "0h", "--dry-run"): "at least an hour ago",
        ("--before", "2999-01-01", "--dry-run"): "at least an hour ago",
        ("--before", "30d", "--to", "/proc/x"): "--to: no file can be made",
    }.items():
        result = run("archive", *words)
        assert result.exit_code in {1, 2}
        assert sentence in result.output
    assert site.log() == before
    assert archive(folder).exit_code == 0
    (path,) = folder.glob("*.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-9])
    for words in (("archive", "list", folder), ("archive", "restore", folder)):
        broken = run(*words)
        assert broken.exit_code == 1
        assert "is not what was archived" in broken.output
    nobody = run("archive", "show", tmp_path, str(uuid4()))
    assert "no archive" in nobody.output


def test_the_service_itself_may_not(postgres: Postgres, monkeypatch, tmp_path: Path) -> None:
    """Its role appends to the log and deletes nothing: that is for the tables' owner."""
    site = Site(Backend(postgres.create_database(), postgres))
    asyncio.run(site.fill())
    role = f"role_{uuid4().hex}"
    with psycopg.connect(site.backend.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
    monkeypatch.setenv("EVENT_STORE_URL", site.backend.url)
    done("migrate", "--grant", role)
    monkeypatch.setenv("EVENT_STORE_URL", site.backend.url.replace("postgres@", f"{role}@"))
    result = archive(tmp_path / "old")
    assert result.exit_code == 1
    assert f"the role {role} may not take events out of the log" in result.output
    assert not list((tmp_path / "old").glob("*.gz"))


@ON_SQLITE
def test_somebody_ends_it_between_two_transactions(site: Site, tmp_path: Path, monkeypatch) -> None:
    """What is done is done, and the same order goes on with the rest."""
    monkeypatch.setattr(runs, "BATCH_EVENTS", 10)
    before, folder = site.log(), tmp_path / "old"
    ending = command._ending

    def ended(run_: Any) -> Any:
        run_._observe = lambda _: setattr(run_, "ended", True)
        return ending(run_)

    with monkeypatch.context() as patch:
        patch.setattr(command, "_ending", ended)
        result = archive(folder)
    assert result.exit_code == 0, result.output
    assert "run it again with the same folder" in result.output
    assert len(site.names()) == len(site.tasks) - 1
    assert archive(folder).exit_code == 0
    assert files.in_order([archived(folder), site.log()]) == before
