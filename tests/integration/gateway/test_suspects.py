"""Whoever asks learns which parts of the audio may be cut short."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.builders import bring, complete, succeed
from tests.integration.gateway.gateway_under_test import BODY, Running
from tts.domain.task import Task
from tts.domain.values import Status

KEY = {"Idempotency-Key": "once"}


def _speak_suspiciously(task: Task) -> None:
    """As a processor does it when the audio is too short although it was spoken twice."""
    now = datetime.now(UTC)
    bring(task, Status.DOWNLOADING, now=now)
    complete(task, now=now, suspect=True)
    succeed(task, now=now)


@pytest.mark.parametrize("way", ["stream", "query", "timeline", "waiting answer"])
async def test_suspect_segments_are_named(its: Running, way: str):
    """The same numbers by every way."""
    accepted = await its.client.post("/api/tts", json=BODY, headers=KEY)
    task_id = UUID(accepted.json()["data"]["taskId"])
    before = (await its.client.get(f"/api/tts/task/{task_id}")).json()["data"]
    assert "suspectSegments" not in before
    await its.application.change(task_id, _speak_suspiciously)
    assert await _suspects(its, task_id, way) == [0]


async def _suspects(its: Running, task_id: UUID, way: str) -> object:
    path = f"/api/tts/task/{task_id}"
    if way == "stream":
        async with its.stream(f"taskId={task_id}") as reader:
            while (update := (await reader.of("task_update")).json())["status"] != "succeeded":
                pass
        return update["suspectSegments"]
    if way == "timeline":
        answer = await its.client.get(f"{path}/events")
        return answer.json()["data"]["events"][-1]["suspectSegments"]
    if way == "query":
        return (await its.client.get(path)).json()["data"]["suspectSegments"]
    waiting = await its.client.post("/api/tts", json=BODY, headers=KEY | {"Prefer": "wait=10"})
    assert waiting.status_code == 200
    return waiting.json()["data"]["suspectSegments"]
