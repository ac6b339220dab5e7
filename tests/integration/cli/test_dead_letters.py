"""``tts dead-letters`` over both stores, as somebody types it."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from click.testing import CliRunner, Result

from projections.database import open_database
from tests.builders import application, failed
from tests.read_models import project
from tests.services.stores import Backend, Store
from tts.application.tasks import Application
from tts.cli.commands import main
from tts.domain.task import Task

WHY = ("--reason", "the provider is back")


class Shell:
    """The command line on one store."""

    def __init__(self, backend: Backend, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._backend = backend
        monkeypatch.chdir(folder)
        monkeypatch.setenv("EVENT_STORE_URL", backend.url)

    def run(self, *words: str) -> Result:
        """What it printed, and how it ended."""
        return CliRunner().invoke(main, ["dead-letters", *words])

    def told(self, *words: str) -> dict[str, Any]:
        """The JSON that it printed."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def ids(self, *words: str) -> list[str]:
        """Whose letters are listed."""
        return [letter["taskId"] for letter in self.told("list", *words)["deadLetters"]]

    def failed(self, count: int, code: str, **more: Any) -> list[str]:
        """Tasks that have failed, the last one first."""

        async def work(app: Application, _: Store) -> list[str]:
            return [await _fail(app, code, **more) for _ in range(count)]

        return self.with_store(work)[::-1]

    def events(self, task_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Topics and states of the task."""

        async def work(_: Application, store: Store) -> list[tuple[str, dict[str, Any]]]:
            return [(e.topic, orjson.loads(e.state)) for e in await store.events(UUID(task_id))]

        return self.with_store(work)

    def with_store(self, work: Callable[[Application, Store], Awaitable[Any]]) -> Any:
        """Do something with the store, and let the read model catch up."""

        async def run() -> Any:
            async with self._backend.store() as store, open_database(self._backend.url) as database:
                answer = await work(application(store), store)
                await project(store, database)
                return answer

        return asyncio.run(run())

    def project(self) -> None:
        """Let the read model see what the commands did."""

        async def nothing(*_: Any) -> None:
            pass

        self.with_store(nothing)


async def _fail(app: Application, code: str, **more: Any) -> str:
    task, _ = await app.request(template_id="t1", text="你好", owner="shop")
    return str((await failed(app, task.id, code, permanent=code == "nsfw", **more)).id)


@pytest.fixture
def shell(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    return Shell(backend, monkeypatch, tmp_path)


def test_the_list_is_aligned_and_says_what_there_is(shell: Shell):
    """Readable at three in the morning: one line a letter, columns under their heads, counts."""
    shell.failed(1, "network", message="line one\nline two\x1b[31m " + "x" * 100)
    nsfw = shell.failed(2, "nsfw")
    printed = shell.run("list")
    lines = printed.stdout.splitlines()
    head, first = lines[0], lines[1]
    for name, value in (("TASK", nsfw[0]), ("CODE", "nsfw!"), ("STEP", "poll"), ("TEMPLATE", "t1")):
        assert first[head.index(name) :].startswith(value)
    assert len(lines[3]) < 200
    assert "\x1b" not in printed.stdout
    assert "line one line two" in lines[3]
    assert [line.split() for line in lines[5:8]] == [
        ["COUNT", "CODE"],
        ["2", "nsfw"],
        ["1", "network"],
    ]
    assert shell.run("list", "--code", "other").stdout == "No dead letters.\n"


def test_the_filters_are_those_of_the_api(shell: Shell):
    """Code, step, template, time, permanence and owner."""
    network = shell.failed(1, "network")
    between = datetime.now(UTC).isoformat()
    nsfw = shell.failed(1, "nsfw")
    assert shell.ids("--code", "network") == network
    assert shell.ids("--since", between) == nsfw
    assert shell.ids("--until", between) == network
    assert shell.ids("--permanent") == nsfw
    assert shell.ids("--exhausted") == network
    assert shell.ids("--step", "create") == []
    assert shell.ids("--template", "t1", "--owner", "shop") == nsfw + network
    assert shell.ids("--limit", "1") == nsfw
    cursor = shell.told("list", "--limit", "1")["nextCursor"]
    assert shell.ids("--cursor", cursor) == network
    assert shell.run("list", "--cursor", "abc").exit_code == 2


def test_show_tells_the_whole_story(shell: Shell):
    """Error, text, timeline; and a sentence for a task that is none."""
    (task_id,) = shell.failed(1, "network")
    printed = shell.run("show", task_id).stdout
    for part in ("network at poll", "attempts exhausted", "2 characters: 你好", "dequeued", "shop"):
        assert part in printed
    assert [e["status"] for e in shell.told("show", task_id)["events"]][-1] == "failed"
    shell.run("redrive", task_id, *WHY)
    for unknown, why in ((task_id, "has not failed"), (str(UUID(int=1)), "does not exist")):
        result = shell.run("show", unknown)
        assert (result.exit_code, why in result.output) == (1, True)


def test_redrive_leaves_who_and_why_in_the_log(shell: Shell):
    """By filter, as many as wanted; the rest stays."""
    tasks, other = shell.failed(3, "network"), shell.failed(1, "nsfw")
    order = ("redrive", "--code", "network", "--limit", "2", "--per-second", "500", *WHY)
    printed = shell.run(*order, "--dry-run").stdout
    assert printed == "3 matched: 2 would be redriven, 0 skipped, 1 left\n"
    assert shell.ids() == other + tasks
    assert shell.run(*order).stdout == "3 matched: 2 redriven, 0 skipped, 1 left\n"
    shell.project()
    assert shell.ids() == other + tasks[2:]
    topic, state = shell.events(tasks[0])[-1]
    assert topic == Task.RetryRequested.TOPIC
    assert state["by"] == f"{getpass.getuser()} (command line)"
    assert state["reason"] == WHY[1]


def test_a_big_redrive_goes_on_to_the_end(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    """One command does it all, however many calls that takes."""
    monkeypatch.setattr("tts.application.dead_letters.WORK_SECONDS", 0.01)
    tasks = shell.failed(7, "network")
    done = shell.told("redrive", "--all", "--per-second", "20", *WHY)
    assert (done["taskIds"], done["remaining"]) == (tasks, 0)


def test_dismiss_takes_them_off_the_list(shell: Shell):
    """By name; what cannot be dismissed is told and skipped."""
    tasks = shell.failed(2, "nsfw")
    done = shell.told("dismiss", *tasks, str(UUID(int=1)), *WHY)
    assert (done["dismissed"], done["reasons"][0]["code"]) == (2, "task_not_found")
    shell.project()
    assert shell.ids() == []
    assert shell.events(tasks[0])[-1][0] == Task.Dismissed.TOPIC
    assert "dismissed" in shell.run("show", tasks[0]).stdout
    again = shell.run("dismiss", *tasks, *WHY).stdout.splitlines()
    assert again[0].startswith(f"skipped  {tasks[0]}")
    assert again[-1] == "2 matched: 0 dismissed, 2 skipped"


@pytest.mark.parametrize(
    "words",
    [
        ("--all",),
        WHY,
        ("--all", "--reason", " "),
        ("--all", "--reason", "a\nb"),
        ("--all", "--reason", "\x1b[2Jgone"),
        ("--all", "--reason", "a\x9b31m"),
        ("--all", "--reason", "a\u202eb"),
        ("--all", "--reason", "a" * 201),
        ("--all", "--code", "network", *WHY),
        (str(UUID(int=1)), "--code", "network", *WHY),
        ("nonsense", *WHY),
        ("--since", "yesterday", *WHY),
    ],
)
@pytest.mark.parametrize("order", ["redrive", "dismiss"])
def test_an_order_that_is_not_clear_does_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, order: str, words: tuple[str, ...]
):
    """No plain reason, no selection, or two selections: a sentence, and status 2."""
    shell = Shell(Backend(f"sqlite:///{tmp_path / 'tts.db'}"), monkeypatch, tmp_path)
    assert shell.run(order, *words).exit_code == 2


def test_a_store_that_is_not_there_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An empty list would be a lie about a mistyped folder."""
    shell = Shell(Backend(f"sqlite:///{tmp_path / 'tts.db'}"), monkeypatch, tmp_path)
    result = shell.run("list")
    assert (result.exit_code, "there is no event store" in result.output) == (1, True)
    assert list(tmp_path.iterdir()) == []
