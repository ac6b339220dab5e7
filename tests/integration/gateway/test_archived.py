"""What clients see of tasks whose events have left the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from gateway.access import keys
from gateway.access.roles import Role
from tests.integration.gateway.gateway_under_test import BODY, Running, accept, fail, running, speak
from tts.cli.archive.choice import Choice, Floor
from tts.cli.archive.run import Run


class Past(NamedTuple):
    """A gateway with an archived task, one that failed, and one that is there."""

    its: Running
    archived: UUID
    failed: UUID
    there: UUID
    position: int  # up to which events were archived


async def archive(its: Running, folder: Path) -> int:
    """Move what is over, but for the log's newest task; returns up to where."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 -- at once
    run = Run(its.store, its.application, folder, version="1")
    floor = Floor(await its.store.position(), "nobody")
    soon = datetime.now(UTC) + timedelta(hours=1)
    await run.move(Choice(its.store, its.application, its.callback_table, soon, floor))
    await its.store.position()
    return its.store.archived_to


@pytest.fixture
async def past(tmp_path: Path) -> AsyncIterator[Past]:
    async with running(tmp_path) as its:
        headers = {"Idempotency-Key": "k"}
        answer = await its.client.post("/api/tts", json=BODY, headers=headers)
        archived = UUID(answer.json()["data"]["taskId"])
        await speak(its.application, archived)
        failed = await its.post()
        await fail(its.application, failed, permanent=False)
        await its.application.dismiss(failed, by="ann", reason="seen")
        there = await its.post()
        await its.project()
        position = await archive(its, tmp_path / "old")
        yield Past(its, archived, failed, there, position)


class TestATask:
    async def test_answers_as_before_and_says_since_when_it_is_archived(self, past: Past):
        """With its text and its audio; how it came to that is in the archive."""
        its, task_id, *_ = past
        answer = (await its.client.get(f"/api/tts/task/{task_id}")).json()["data"]
        assert (answer["status"], answer["ttsText"]) == ("succeeded", BODY["tts_text"])
        assert answer["audioUrl"] == its.audio.url(f"audio-{task_id}.wav")
        assert answer["archivedAt"]
        assert answer["position"] == 8
        same = await its.client.get(f"/api/tts/task/{task_id}", params={"asOf": 9})
        assert same.json()["data"] == answer

    async def test_has_no_timeline_and_takes_no_commands(self, past: Past):
        """410 says that it was there, and where its events are."""
        its, task_id, failed, *_ = past
        for answer in (
            await its.client.get(f"/api/tts/task/{task_id}/events"),
            await its.client.get(f"/api/tts/task/{task_id}", params={"asOf": 3}),
            await its.client.post("/api/tts/cancel", json={"taskId": str(task_id)}),
            await its.client.post("/api/tts/retry", json={"taskId": str(failed)}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (410, "task_archived")
            assert "moved to the archive events-" in answer.json()["error"]

    async def test_is_what_its_key_stands_for(self, past: Past):
        """A repeated request pays for nothing; who waits has the audio at once."""
        its, task_id, *_ = past
        headers = {"Idempotency-Key": "k"}
        end = await its.store.position()
        again = await its.client.post("/api/tts", json=BODY, headers=headers)
        assert (again.status_code, again.json()["data"]["taskId"]) == (202, str(task_id))
        waited = await its.client.post(
            "/api/tts", json=BODY, headers={**headers, "Prefer": "wait=5"}
        )
        assert (waited.status_code, waited.json()["data"]["status"]) == (200, "succeeded")
        other = await its.client.post("/api/tts", json=BODY | {"tts_text": "x"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert await its.store.position() == end

    async def test_can_be_erased(self, past: Past):
        """Text and audio are gone, and that is said; again is fine."""
        its, task_id, *_ = past
        path = f"/api/tts/task/{task_id}"
        first, again = [(await its.client.delete(path)).json()["data"] for _ in range(2)]
        assert first == again
        answer = (await its.client.get(path)).json()["data"]
        assert (answer["ttsText"], answer["audioUrl"]) == (None, None)
        assert answer["erasedAt"] == first["erasedAt"]

    async def test_that_is_erased_has_no_audio_in_a_list(self, past: Past):
        """No event says so: its row is what it was, and the archives make it anew."""
        its, task_id, *_ = past

        async def row() -> dict[str, Any]:
            tasks = (await its.client.get("/api/tts/tasks")).json()["data"]["tasks"]
            return next(task for task in tasks if task["taskId"] == str(task_id))

        assert (await row())["audioUrl"] == its.audio.url(f"audio-{task_id}.wav")
        await its.client.delete(f"/api/tts/task/{task_id}")
        erased = await row()
        assert (erased["audioUrl"], erased["format"]) == (None, None)
        assert erased["status"] == "succeeded"


class TestAStream:
    async def test_that_would_miss_what_was_archived_is_told_so(self, past: Past):
        """From any position up to the newest that is gone; it goes on from now."""
        its, _, _, there, position = past
        for cursor in (0, 3, position - 1):
            async with its.stream(headers={"Last-Event-ID": str(cursor)}) as reader:
                await reader.of("connected")
                reset = (await reader.next()).json()
                assert (reset["reason"], reset["requested"]) == ("archived", str(cursor))
                assert reset["position"] == await its.store.position()
        async with its.stream(headers={"Last-Event-ID": str(position)}) as reader:
            (update,) = await reader.updates(1)
            assert update["taskId"] == str(there)

    async def test_of_an_archived_task_is_told_so(self, past: Past):
        """Unless it had come to its end."""
        its, task_id, _, there, _ = past
        async with its.stream(f"taskId={task_id},{there}") as reader:
            assert (await reader.of("reset")).json()["reason"] == "archived"
            await speak(its.application, there)
            assert (await reader.updates(1))[0]["taskId"] == str(there)
        async with its.stream(f"taskId={task_id},{there}", {"Last-Event-ID": "8"}) as reader:
            assert {each["taskId"] for each in await reader.updates(3)} == {str(there)}

    async def test_of_one_owner_is_told_so_too(self, tmp_path: Path):
        """Also where others have done so much that its history is found by its tasks."""
        file = tmp_path / "keys.json"
        _, key = keys.add(file, owner="shop", role=Role.APP, expires=None)
        settings = {"tts_api_keys_file": file, "sse_replay_limit": 9}
        async with running(tmp_path, **settings) as its:
            facts = {"template_id": "t", "text": "x", "owner": "shop"}
            for _ in range(2):
                receipt, _ = await its.application.request(**facts)
                await speak(its.application, receipt.id)
            await its.project()
            await accept(its.application, 5)
            headers = {"Authorization": f"Bearer {key}", "Last-Event-ID": "9"}
            async with its.stream(headers=headers) as reader:
                assert len(await reader.updates(7)) == 7
            await archive(its, tmp_path / "old")
            async with its.stream(headers=headers) as reader:
                await reader.of("connected")
                assert (await reader.next()).json()["reason"] == "archived"

    async def test_breaks_off_when_its_history_is_archived_meanwhile(
        self, its: Running, tmp_path: Path
    ):
        """Whoever comes back is told; a gap is never passed over in silence."""
        first, second = await its.post(), await its.post()
        for task_id in (first, second):
            await speak(its.application, task_id)
        await its.post()
        read, archived = its.store.read, False

        async def reading(*arguments):
            nonlocal archived
            if not archived:
                archived = True
                await archive(its, tmp_path / "old")
            return await read(*arguments)

        its.store.read = reading
        async with its.stream(headers={"Last-Event-ID": "1"}) as reader:
            with pytest.raises(Exception, match="incomplete chunked read"):
                await reader.rest()
        async with its.stream(headers={"Last-Event-ID": "1"}) as reader:
            assert (await reader.of("reset")).json()["reason"] == "archived"
