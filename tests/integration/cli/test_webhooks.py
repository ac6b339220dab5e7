"""``tts webhooks``, as somebody types it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result

from tests.builders import application, brought
from tts.bootstrap import callback_rows_of
from tts.cli.commands import main
from tts.domain.values import Status
from tts.ports.callbacks import Callback, CallbackState
from tts.ports.log import ArchivedTask

HOOK = "https://app.example.com/hook"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["webhooks", *words])


@pytest.fixture
def tasks(backend, monkeypatch, tmp_path) -> dict[str, UUID]:
    """One callback in each state, in the log of the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENT_STORE_URL", backend.url)
    new = Callback(uuid4(), 9, HOOK, began=100.0, due=100.0, updated=100.0)
    failed = replace(
        new, task_id=uuid4(), state=CallbackState.FAILED, due=None, problem="answered 500"
    )
    delivered = replace(new, task_id=uuid4(), state=CallbackState.DELIVERED, due=None)

    async def fill() -> None:
        async with backend.store() as store:
            table = callback_rows_of(store)
            await table.add([new, failed, delivered])
            await table.aclose()

    asyncio.run(fill())
    return {"pending": new.task_id, "failed": failed.task_id, "delivered": delivered.task_id}


def states(*words: str) -> dict[str, str]:
    result = run("list", "--json", *words)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["callbacks"]
    return {row["taskId"]: row["callbackState"] for row in rows}


def test_callbacks_are_listed(tasks):
    """For people and for programs, all or by state."""
    assert states() == {str(task_id): state for state, task_id in tasks.items()}
    assert states("--state", "failed") == {str(tasks["failed"]): "failed"}
    text = run("list").output
    assert "answered 500" in text
    assert "pending: 1  delivered: 1  failed: 1" in text


def test_they_are_replayed(tasks):
    """By name, or all that failed."""
    assert run("replay", str(tasks["delivered"])).output == "1 callbacks are sent again.\n"
    assert states("--state", "failed") == {str(tasks["failed"]): "failed"}
    assert run("replay", "--failed").output == "1 callbacks are sent again.\n"
    assert set(states().values()) == {"pending"}
    assert run("replay").exit_code == 2
    assert run("replay", "--failed", str(uuid4())).exit_code == 2
    assert "'seven' is no task's id" in run("replay", "seven").output


def test_that_of_an_archived_task_has_to_be_brought_back_first(tasks, backend):
    """What it says stands in the archive: that is said, and others are replayed all the same."""

    async def archive() -> UUID:
        async with backend.store() as store:
            app = application(store)
            receipt, _ = await app.request(template_id="t", text="x", callback_url=HOOK)
            await brought(app, receipt.id, Status.SUCCEEDED)
            events, end = await store.events(receipt.id), await store.position()
            await app.request(template_id="t", text="x")
            await store.archive.begin("events-old")
            kept = ArchivedTask(receipt.id, "", len(events), end, "events-old", "{}")
            assert await store.archive.move("events-old", [kept]) == {receipt.id}
            table = callback_rows_of(store)
            delivered = Callback(
                receipt.id, len(events), HOOK, 100.0, None, CallbackState.DELIVERED, updated=100.0
            )
            await table.add([delivered])
            await table.aclose()
            return receipt.id

    archived = asyncio.run(archive())
    result = run("replay", str(archived), str(tasks["delivered"]))
    assert result.exit_code == 1
    assert result.stdout == "1 callbacks are sent again.\n"
    assert f"{archived} is archived: tts archive restore FOLDER" in result.stderr
    assert states()[str(archived)] == "delivered"


@pytest.mark.usefixtures("tasks")
def test_secrets_are_shown():
    """The owner's, as libraries take it."""
    mine, other = run("secret"), run("secret", "--owner", "shop")
    assert mine.output.startswith("whsec_")
    assert mine.output != other.output
    assert run("secret").output == mine.output


def test_without_a_log_there_is_a_sentence(monkeypatch, tmp_path):
    """And none is made."""
    monkeypatch.chdir(tmp_path)
    result = run("list", "--data", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    assert "there is no event store" in result.output
    assert not (tmp_path / "nowhere").exists()
