"""``tts projections`` over both stores, as somebody types it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result
from eventsourcing.persistence import StoredEvent

from projections import rebuild, registry
from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.tasks import TASKS
from tests.histories import live, new_task, stored
from tests.read_models import project, rows_of
from tests.services.stores import Backend
from tts.cli.commands import main
from tts.cli.projections import Bar

TASKS_COUNT = 12


@pytest.fixture(autouse=True)
def filled(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A log and its read models; the commands find them in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENT_STORE_URL", backend.url)
    monkeypatch.setattr(rebuild, "GRACE_SECONDS", 0.01)

    async def fill() -> None:
        random = Random(1)
        async with backend.store() as store, open_database(backend.url) as database:
            for _ in range(TASKS_COUNT):
                await store.append(stored(live(new_task(random), random, steps=20)))
            await project(store, database)

    asyncio.run(fill())


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["projections", *words])


def damage(backend: Backend) -> None:
    """Somebody changes a row by hand."""

    async def change() -> None:
        async with open_database(backend.url) as database:
            table = TASKS.at((await registry.serving(database))["tasks"].place)
            async with database.transaction() as transaction:
                await transaction.execute(f"UPDATE {table} SET owner = 'nobody'")  # noqa: S608

    asyncio.run(change())


def test_list_says_how_far_each_has_come() -> None:
    """For people, and for programs."""
    models = json.loads(run("list", "--json").stdout)["readModels"]
    assert {each["name"] for each in models} == {each.name for each in PROJECTIONS}
    assert {each["lag"]["events"] for each in models} == {0}
    assert {each["state"] for each in models} == {"serving"}
    lines = run("list").stdout.splitlines()
    assert len(lines) == len(PROJECTIONS)
    assert all("0 events, 0.0 s behind   serving" in line for line in lines)


def test_the_file_that_a_command_makes_is_private(backend: Backend) -> None:
    """As the service's files are."""
    if backend.is_sqlite:
        file = backend.path.with_suffix(".read.db")
        file.unlink()
        assert run("list").exit_code == 0
        assert file.stat().st_mode & 0o077 == 0


def test_verify_says_what_is_wrong_and_rebuild_mends_it(backend: Backend) -> None:
    """With an exit code for scripts, examples for people, and what to do."""
    well = run("verify", "tasks")
    assert (well.exit_code, "rows are as the log gives them" in well.stdout) == (0, True)
    damage(backend)
    wrong = run("verify", "tasks")
    assert wrong.exit_code == 1
    assert f"in tasks {TASKS_COUNT} rows are not as the log gives them" in wrong.stdout
    assert "Make it anew: tts projections rebuild tasks" in wrong.stdout
    (difference,) = json.loads(run("verify", "tasks", "--json").stdout)["differences"]
    assert difference == {"table": "tasks", "missing": TASKS_COUNT, "surplus": TASKS_COUNT}
    mended = run("rebuild", "tasks")
    assert (mended.exit_code, "tasks: made anew from" in mended.stdout) == (0, True)
    assert run("verify", "tasks").exit_code == 0


def test_rebuild_of_several_reads_the_log_once(backend: Backend) -> None:
    """And changes nothing where all is well."""

    async def rows() -> dict[str, list[tuple]]:
        async with open_database(backend.url) as database:
            return await rows_of(database)

    before = asyncio.run(rows())
    result = run("rebuild", *(each.name for each in PROJECTIONS))
    assert result.exit_code == 0, result.output
    assert asyncio.run(rows()) == before


def test_what_cannot_be_made_is_said_in_a_sentence(backend: Backend) -> None:
    """A model that there is not, and a log of a newer service."""
    unknown = run("rebuild", "moods")
    assert unknown.exit_code == 2
    assert "'moods' is not one of" in unknown.output

    async def sing() -> None:
        async with backend.store() as store:
            task_id = (await store.read(0, 1))[0].task_id
            version = len(await store.events(task_id)) + 1
            await store.append([StoredEvent(task_id, version, "tts.task.sung", b"{}")])

    asyncio.run(sing())
    newer = run("rebuild", "tasks")
    assert newer.exit_code == 1
    assert "tts.task.sung at position" in newer.output
    assert "Traceback" not in newer.output
    assert run("verify", "tasks").exit_code == 0


def test_the_bar_counts_events_and_not_positions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """These leap when the log has gone back."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("tts.cli.projections.SHOW_SECONDS", 0)
    bar = Bar("rebuild", 40, lambda position: 10 if position == 10**15 else position)
    bar.reached(10**15)
    bar.end()
    shown = capsys.readouterr().err
    assert "[########......................]  25%  10 events in " in shown
    assert shown.endswith("s left    \n")
