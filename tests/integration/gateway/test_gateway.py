"""What the HTTP API promises, over a real server and a real client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from tests.histories import STATUSES_OF_SPEECH
from tests.integration.gateway.gateway_under_test import BODY, Running, fail, running, speak
from tests.waiting import SECONDS, until
from tts.domain.failures import StepError
from tts.domain.naming import object_key
from tts.domain.task import Task
from tts.observability.metrics.registries import PROCESS
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded

JSON = {"content-type": "application/json"}
LONG = {"wait_max_seconds": 600, "shutdown_seconds": 600}  # longer than a test waits


def data(answer: httpx.Response, status: int = 200) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"success", "data"}
    assert body["success"] is True
    return body["data"]


def refusal(answer: httpx.Response, status: int, code: str, *words: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) <= {"success", "error", "code", "taskId"}
    assert body["success"] is False
    assert body["code"] == code
    for word in words:
        assert word in body["error"]
    return body


class TestRequest:
    async def test_is_accepted_with_an_event_on_disk(self, its: Running):
        """A text is answered 202 and stands in the log by then, with its words apart."""
        answer = data(await its.client.post("/api/tts", json=BODY), 202)
        assert answer == {
            "taskId": answer["taskId"],
            "message": "Audio generation started",
            "status": "started",
            "position": 1,
        }
        (event,) = await its.store.events(UUID(answer["taskId"]))
        assert (event.topic, event.position) == (Task.Requested.TOPIC, 1)
        said = await its.store.payload(event.task_id)
        assert (said.text, said.instruction) == (BODY["tts_text"], BODY["instruction"])

    async def test_instruction_may_be_left_out_or_null(self, its: Running):
        """Without an instruction a text is as good."""
        for instruction in ({}, {"instruction": None}, {"instruction": ""}):
            body = {"templateId": "t", "tts_text": " x "} | instruction
            task_id = data(await its.client.post("/api/tts", json=body), 202)["taskId"]
            said = await its.store.payload(UUID(task_id))
            assert (said.text, said.instruction) == (" x ", "")

    async def test_longest_text_is_accepted(self, tmp_path: Path):
        """The limit counts characters, and is itself allowed."""
        async with running(tmp_path, text_max_chars=10, instruction_max_chars=5) as its:
            await its.post(tts_text="好" * 10, instruction="好" * 5)

    async def test_idempotency_key_makes_it_one_task(self, its: Running):
        """The same key gets the same task, and another body under it is refused."""
        key = {"Idempotency-Key": "order-1"}
        first = data(await its.client.post("/api/tts", json=BODY, headers=key), 202)
        again = data(await its.client.post("/api/tts", json=BODY, headers=key), 202)
        assert again == first
        other = await its.client.post("/api/tts", json=BODY | {"tts_text": "x"}, headers=key)
        refusal(other, 422, "idempotency_key_reused")
        bad = await its.client.post("/api/tts", json=BODY, headers={"Idempotency-Key": "a b"})
        refusal(bad, 400, "invalid_request", "Idempotency-Key")
        assert await its.store.position() == 1

    @pytest.mark.parametrize("priority", ["high", "normal", "low"])
    async def test_priority_is_recorded_and_shown(self, its: Running, priority: str):
        """The relay finds it in the log, and the task's answer has it."""
        task_id = await its.post(priority=priority)
        (event,) = await its.store.events(task_id)
        assert orjson.loads(event.state).get("priority", "normal") == priority
        assert data(await its.client.get(f"/api/tts/task/{task_id}"))["priority"] == priority

    async def test_a_repetition_in_another_hurry_is_the_same_request(self, its: Running):
        """An Idempotency-Key stands for what is said; the first priority stays."""
        key = {"Idempotency-Key": "order-1"}
        first = data(await its.client.post("/api/tts", json=BODY, headers=key), 202)
        hurried = BODY | {"priority": "high"}
        assert data(await its.client.post("/api/tts", json=hurried, headers=key), 202) == first
        task, _ = await its.application.load(UUID(first["taskId"]))
        assert task.priority == "normal"


TEMPLATE = '{"templateId": "t", '
BAD_BODIES = {
    "nothing": (b"", "invalid_json", ""),
    "not JSON": (b"templateId=t", "invalid_json", ""),
    "cut off": (b'{"templateId": "t", "tts_te', "invalid_json", ""),
    "not UTF-8": (b'{"templateId": "t", "tts_text": "\xff"}', "invalid_json", ""),
    "a list": (b"[]", "invalid_request", "the body"),
    "null": (b"null", "invalid_request", "the body"),
    "no fields": (b"{}", "invalid_request", "templateId"),
    "no text": (b'{"templateId": "t"}', "invalid_request", "tts_text"),
    "no template": (b'{"tts_text": "x"}', "invalid_request", "templateId"),
    "empty text": (f'{TEMPLATE}"tts_text": ""}}'.encode(), "nothing_to_speak", "tts_text"),
    "blank text": (
        f'{TEMPLATE}"tts_text": " \\n\u3000"}}'.encode(),
        "nothing_to_speak",
        "tts_text",
    ),
    "punctuation": (
        f'{TEMPLATE}"tts_text": "!?\u2026\u3002"}}'.encode(),
        "nothing_to_speak",
        "letter",
    ),
    "no template, either": (b'{"tts_text": "!"}', "invalid_request", "templateId"),
    "number as text": (f'{TEMPLATE}"tts_text": 1}}'.encode(), "invalid_request", "tts_text"),
    "null as text": (f'{TEMPLATE}"tts_text": null}}'.encode(), "invalid_request", "tts_text"),
    "long text": (f'{TEMPLATE}"tts_text": "{"x" * 31}"}}'.encode(), "invalid_request", "tts_text"),
    "NUL in text": (f'{TEMPLATE}"tts_text": "a\\u0000"}}'.encode(), "invalid_request", "tts_text"),
    "high surrogate": (f'{TEMPLATE}"tts_text": "\\ud800"}}'.encode(), "invalid_json", ""),
    "low surrogate": (f'{TEMPLATE}"tts_text": "\\udc00 x"}}'.encode(), "invalid_json", ""),
    "encoded surrogate": (
        TEMPLATE.encode() + b'"tts_text": "\xed\xa0\x80"}',
        "invalid_json",
        "",
    ),
    "list as instruction": (
        f'{TEMPLATE}"tts_text": "x", "instruction": []}}'.encode(),
        "invalid_request",
        "instruction",
    ),
    "long instruction": (
        f'{TEMPLATE}"tts_text": "x", "instruction": "{"x" * 11}"}}'.encode(),
        "invalid_request",
        "instruction",
    ),
    "NUL in instruction": (
        f'{TEMPLATE}"tts_text": "x", "instruction": "\\u0000"}}'.encode(),
        "invalid_request",
        "instruction",
    ),
    "unknown priority": (
        f'{TEMPLATE}"tts_text": "x", "priority": "urgent"}}'.encode(),
        "invalid_request",
        "priority",
    ),
    "null as priority": (
        f'{TEMPLATE}"tts_text": "x", "priority": null}}'.encode(),
        "invalid_request",
        "priority",
    ),
    "number as priority": (
        f'{TEMPLATE}"tts_text": "x", "priority": 1}}'.encode(),
        "invalid_request",
        "priority",
    ),
    "unknown format": (
        f'{TEMPLATE}"tts_text": "x", "format": "flac"}}'.encode(),
        "invalid_request",
        "format: Input should be 'wav', 'mp3' or 'opus'",
    ),
    "number as template": (b'{"templateId": 7, "tts_text": "x"}', "invalid_request", "templateId"),
    "empty template": (b'{"templateId": "", "tts_text": "x"}', "invalid_request", "templateId"),
    "path as template": (
        b'{"templateId": "../etc", "tts_text": "x"}',
        "invalid_request",
        "templateId",
    ),
    "newline after template": (
        b'{"templateId": "t\\n", "tts_text": "x"}',
        "invalid_request",
        "templateId",
    ),
    "long template": (
        f'{{"templateId": "{"t" * 65}", "tts_text": "x"}}'.encode(),
        "invalid_request",
        "templateId",
    ),
}


class TestBadInput:
    @pytest.mark.parametrize("case", BAD_BODIES)
    async def test_leaves_no_event(self, tmp_path: Path, case: str):
        """What cannot be spoken is refused with the field's name, and the log stays empty."""
        body, code, word = BAD_BODIES[case]
        async with running(tmp_path, text_max_chars=30, instruction_max_chars=10) as its:
            answer = await its.client.post("/api/tts", content=body, headers=JSON)
            refusal(answer, 400, code, word)
            assert await its.store.position() == 0

    async def test_that_is_too_large_leaves_no_event(self, tmp_path: Path):
        """A body over the limit is 413, with a declared length and without one."""
        async with running(tmp_path, request_max_bytes=2000) as its:
            text = b'{"templateId": "t", "tts_text": "%b"}' % (b"x" * 2000)
            answer = await its.client.post("/api/tts", content=text, headers=JSON)
            refusal(answer, 413, "body_too_large")

            async def chunks():
                yield text[:1000]
                yield text[1000:]

            answer = await its.client.post("/api/tts", content=chunks(), headers=JSON)
            refusal(answer, 413, "body_too_large")
            assert await its.store.position() == 0

    async def test_declared_as_something_else_is_refused(self, its: Running):
        """A body that calls itself no JSON is 415; charset and silence are fine."""
        body = b'{"templateId": "t", "tts_text": "x"}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
            answer = await its.client.post("/api/tts", content=body, headers={"content-type": kind})
            refusal(answer, 415, "unsupported_media_type", kind)
        assert await its.store.position() == 0
        for fine in ({}, {"content-type": "application/json; charset=utf-8"}):
            data(await its.client.post("/api/tts", content=body, headers=fine), 202)

    async def test_does_not_come_back_in_the_answer(self, tmp_path: Path):
        """An error names the field and never repeats what a person said."""
        async with running(tmp_path, text_max_chars=5) as its:
            answer = await its.client.post("/api/tts", json=BODY | {"tts_text": "my secret words"})
            assert "secret" not in answer.text


class TestErrors:
    async def test_unknown_route(self, its: Running):
        """A path that leads nowhere is 404 in the envelope."""
        refusal(await its.client.get("/api/nothing"), 404, "not_found")

    async def test_wrong_method(self, its: Running):
        """A method that a route has not is 405 and says which it has."""
        answer = await its.client.get("/api/tts")
        refusal(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST, OPTIONS"
        assert (await its.client.post("/events")).status_code == 405

    @pytest.mark.parametrize("task_id", ["", str(UUID(int=7)), "nonsense", "../x", "x" * 5000])
    async def test_unknown_task(self, its: Running, task_id: str):
        """Whatever is no task is 404 wherever a task is named."""
        for path in ("/api/tts/retry", "/api/tts/cancel"):
            answer = await its.client.post(path, json={"taskId": task_id})
            refusal(answer, 404, "task_not_found")
        if task_id and "/" not in task_id:
            refusal(await its.client.get(f"/api/tts/task/{task_id}"), 404, "task_not_found")
            answer = await its.ask(f"/events?taskId={task_id}")
            refusal(answer, 404, "task_not_found")

    async def test_store_that_is_away(
        self, its: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        """503, with the time after which to ask again; where the store is, only the log says."""

        async def away(*_arguments: object) -> int:
            raise Unavailable("SQLite file /srv/tts.db: disk I/O error")

        monkeypatch.setattr(its.store, "append", away)
        answer = await its.client.post("/api/tts", json=BODY)
        refusal(answer, 503, "unavailable", "try again")
        assert "/srv/tts.db" not in answer.text
        assert "/srv/tts.db: disk I/O error" in caplog.text
        assert int(answer.headers["retry-after"]) > 0

    async def test_fault_of_ours(
        self, its: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        """What nobody foresaw is a bare 500 to the client, and all of it in our log, once."""

        async def broken(*_arguments: object) -> int:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(its.store, "append", broken)
        caplog.set_level(logging.INFO)
        answer = await its.client.post("/api/tts", json=BODY)
        assert refusal(answer, 500, "internal_error")["error"] == "internal error"
        (record,) = [record for record in caplog.records if record.exc_info]
        assert "secret detail" in caplog.text
        assert record.getMessage() == "POST /api/tts failed"


class TestTask:
    async def test_fresh(self, its: Running):
        """A client reads its own write, with every field of the original."""
        task_id = await its.post()
        answer = data(await its.client.get(f"/api/tts/task/{task_id}"))
        assert datetime.fromisoformat(answer["createdAt"]) <= datetime.now(UTC)
        assert answer == {
            "taskId": str(task_id),
            "status": "starting",
            "templateId": BODY["templateId"],
            "ttsText": BODY["tts_text"],
            "instruction": BODY["instruction"],
            "audioUrl": None,
            "createdAt": answer["createdAt"],
            "updatedAt": answer["createdAt"],
            "completedAt": None,
            "attempt": 1,
            "maxAttempts": 3,
            "priority": "normal",
            "format": "wav",
            "position": 1,
            "queuePosition": None,
            "estimatedWaitMs": None,
        }

    async def test_spoken(self, its: Running):
        """A task that succeeded tells where its audio is."""
        task_id = await its.post()
        await speak(its.application, task_id)
        answer = data(await its.client.get(f"/api/tts/task/{task_id}"))
        assert answer["status"] == "succeeded"
        assert answer["audioUrl"] == f"{its.gateway.url}/audio/audio-{task_id}.wav"
        assert answer["completedAt"]

    async def test_failed_can_be_retried(self, its: Running):
        """A failed task gets another round, once, with what was said and nothing else."""
        task_id = await its.post()
        retry = {"taskId": str(task_id)}
        early = await its.client.post("/api/tts/retry", json=retry)
        refusal(early, 409, "task_not_failed", str(task_id))
        await fail(its.application, task_id, permanent=False)
        answer = data(await its.client.get(f"/api/tts/task/{task_id}"))
        assert (answer["status"], answer["code"]) == ("failed", "template_missing")
        for wrong in ({"templateId": "other"}, {"tts_text": "other"}):
            body = refusal(
                await its.client.post("/api/tts/retry", json=retry | wrong),
                422,
                "task_mismatch",
                *wrong,
            )
            assert body["taskId"] == str(task_id)
        wrong = await its.client.post("/api/tts/retry", json={"taskId": 7})
        refusal(wrong, 400, "invalid_request", "taskId")
        body = retry | {"templateId": BODY["templateId"], "tts_text": BODY["tts_text"]}
        answer = data(await its.client.post("/api/tts/retry", json=body), 202)
        assert answer == {
            "taskId": str(task_id),
            "message": "Retry initiated successfully",
            "position": await its.store.position(),
        }
        assert (await its.store.events(task_id))[-1].topic == Task.RetryRequested.TOPIC

    async def test_can_be_canceled(self, its: Running):
        """A task that nothing runs for is canceled at once; one that is over cannot be."""
        task_id = await its.post()
        body = {"taskId": str(task_id)}
        answer = data(await its.client.post("/api/tts/cancel", json=body), 202)
        assert (answer["taskId"], answer["status"]) == (str(task_id), "canceled")
        assert answer["position"] == await its.store.position()
        done = await its.post()
        await speak(its.application, done)
        answer = await its.client.post("/api/tts/cancel", json={"taskId": str(done)})
        refusal(answer, 409, "task_is_over")

    async def test_that_is_canceled_counts_once(self, tmp_path: Path):
        """No processor had it: the gateway ended it."""

        def canceled() -> float:
            value = PROCESS.get_sample_value("tts_tasks_finished_total", {"outcome": "canceled"})
            return value or 0.0

        async with running(tmp_path) as its:
            before, body = canceled(), {"taskId": str(await its.post())}
            for _ in range(2):
                data(await its.client.post("/api/tts/cancel", json=body), 202)
            assert canceled() == before + 1


class TestErasure:
    async def test_leaves_statuses_and_times_only(self, its: Running):
        """Text, audio and the list's link to it are gone; the rest of the story stays."""
        task_id = await its.post(format="mp3")
        await speak(its.application, task_id)
        task, _ = await its.application.load(task_id)
        path = its.audio.path(object_key(task_id, task.audio_suffix, "mp3"))
        await its.audio.put(path.name, b"ID3", "audio/mpeg")
        url = f"/api/tts/task/{task_id}"
        before = data(await its.client.get(url))
        erased = data(await its.client.delete(url))
        assert erased["status"] == "succeeded"
        assert not path.exists()
        assert await its.store.payload(task_id) is None
        after = data(await its.client.get(url))
        gone = {"ttsText": None, "instruction": None, "audioUrl": None}
        since = dict.fromkeys(("erasedAt", "updatedAt"), erased["erasedAt"])
        assert after == before | gone | since | {"position": erased["position"]}

        await its.project()
        (row,) = data(await its.client.get("/api/tts/tasks"))["tasks"]
        assert (row["status"], row["audioUrl"]) == ("succeeded", None)

    async def test_again_changes_nothing(self, its: Running):
        """It answers the same, and removes what an interrupted first one left."""
        task_id = await its.post()
        await fail(its.application, task_id, permanent=True)
        first = data(await its.client.delete(f"/api/tts/task/{task_id}"))
        task, _ = await its.application.load(task_id)
        key = object_key(task_id, task.audio_suffix)
        await its.audio.put(key, b"RIFFlate", "audio/wav")
        assert data(await its.client.delete(f"/api/tts/task/{task_id}")) == first
        assert not its.audio.path(key).exists()

    async def test_is_refused_while_the_task_runs(self, its: Running):
        """Nothing is removed from under a worker."""
        task_id = await its.post()
        answer = await its.client.delete(f"/api/tts/task/{task_id}")
        refusal(answer, 409, "task_not_over", "starting")
        assert await its.store.payload(task_id) is not None
        refusal(await its.client.delete(f"/api/tts/task/{uuid4()}"), 404, "task_not_found")

    async def test_ends_what_can_be_done_for_the_task(self, its: Running):
        """No retry, and no waiting for it under its key."""
        key = {"Idempotency-Key": "k", "Prefer": "wait=10"}
        task_id = await its.post()
        asked = await its.client.post("/api/tts", json=BODY, headers={"Idempotency-Key": "k"})
        task_id = UUID(data(asked, 202)["taskId"])
        await fail(its.application, task_id, permanent=False)
        data(await its.client.delete(f"/api/tts/task/{task_id}"))
        retry = await its.client.post("/api/tts/retry", json={"taskId": str(task_id)})
        refusal(retry, 409, "task_erased")
        refusal(await its.client.post("/api/tts", json=BODY, headers=key), 409, "task_erased")

    async def test_is_not_done_while_the_audio_cannot_be_removed(
        self, its: Running, monkeypatch: pytest.MonkeyPatch
    ):
        """A 2xx would say that it is gone."""
        task_id = await its.post()
        await speak(its.application, task_id)

        async def away(_key: str) -> None:
            raise StepError("audio_unavailable", "audio", "away")

        with monkeypatch.context() as patch:
            patch.setattr(its.audio, "delete", away)
            answer = await its.client.delete(f"/api/tts/task/{task_id}")
            refusal(answer, 503, "unavailable", "the audio store does not answer")
            assert answer.headers["retry-after"]
        data(await its.client.delete(f"/api/tts/task/{task_id}"))


class TestTimeline:
    async def test_says_how_long_each_status_lasted(self, its: Running):
        """All events in order as the stream has them, each with the time until the next one."""
        task_id = await its.post()
        await speak(its.application, task_id)
        told = data(await its.client.get(f"/api/tts/task/{task_id}/events"))
        assert [event["status"] for event in told["events"]] == STATUSES_OF_SPEECH
        assert told["position"] == told["events"][-1]["position"]
        assert told["events"][-1]["lasted"] is None
        starting, queued = told["events"][:2]
        between = datetime.fromisoformat(queued["timestamp"]) - datetime.fromisoformat(
            starting["timestamp"]
        )
        assert starting["lasted"] == pytest.approx(between.total_seconds())
        async with its.stream(f"taskId={task_id}") as reader:
            shown = [(await reader.of("task_update")).json() for _ in told["events"]]
        assert shown == [
            {name: value for name, value in event.items() if name != "lasted"}
            for event in told["events"]
        ]

    async def test_time_travel(self, its: Running):
        """The task and its timeline as they were at each position, and nothing before the first."""
        await its.post()
        task_id = await its.post()
        await speak(its.application, task_id)
        url = f"/api/tts/task/{task_id}"
        for n, status in enumerate(STATUSES_OF_SPEECH, start=2):
            task = data(await its.client.get(url, params={"asOf": n}))
            assert (task["status"], task["position"]) == (status, n)
            told = data(await its.client.get(f"{url}/events", params={"asOf": n}))
            assert [e["position"] for e in told["events"]] == [*range(2, n + 1)]
            assert (told["status"], told["position"]) == (status, n)
        now = data(await its.client.get(url))
        assert data(await its.client.get(url, params={"asOf": 10**15})) == now
        for path in (url, f"{url}/events"):
            refusal(await its.client.get(path, params={"asOf": 1}), 404, "task_not_found")
            for bad in ("-1", "x", "1.0", "", "1_0", "9" * 30):
                answer = await its.client.get(path, params={"asOf": bad})
                refusal(answer, 400, "invalid_request", "asOf")


class TestWaiting:
    async def test_answers_with_the_audio(self, its: Running):
        """``Prefer: wait`` turns into 200 with the URL as soon as the task is spoken."""
        asking = asyncio.create_task(
            its.client.post("/api/tts", json=BODY, headers={"Prefer": "wait=60"})
        )
        task_id = await first_task(its)
        await speak(its.application, task_id)
        assert data(await asking) == {
            "taskId": str(task_id),
            "audio_url": f"{its.gateway.url}/audio/audio-{task_id}.wav",
            "status": "succeeded",
        }

    async def test_finds_what_ended_before(self, its: Running):
        """A repeated request whose task is spoken already gets the audio at once."""
        headers = {"Prefer": "wait=60", "Idempotency-Key": "k"}
        answer = await its.client.post("/api/tts", json=BODY, headers={"Idempotency-Key": "k"})
        await speak(its.application, UUID(data(answer, 202)["taskId"]))
        answer = data(await its.client.post("/api/tts", json=BODY, headers=headers))
        assert answer["status"] == "succeeded"

    async def test_finds_the_failure_that_was_dismissed_since(self, its: Running):
        """Who asks again is told why the task failed, not that somebody has seen it."""
        headers = {"Prefer": "wait=60", "Idempotency-Key": "k"}
        answer = await its.client.post("/api/tts", json=BODY, headers={"Idempotency-Key": "k"})
        task_id = UUID(data(answer, 202)["taskId"])
        await fail(its.application, task_id, permanent=True)
        await its.application.dismiss(task_id, by="ann", reason="known")
        answer = await its.client.post("/api/tts", json=BODY, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "template_missing")

    async def test_ends_at_the_cap(self, tmp_path: Path):
        """Nobody waits longer than allowed; then the answer is the one of a request without it."""
        async with running(tmp_path, wait_max_seconds=1) as its:
            answer = await its.client.post("/api/tts", json=BODY, headers={"Prefer": "wait=1000"})
            assert data(answer, 202)["status"] == "started"

    @pytest.mark.parametrize(("permanent", "status"), [(True, 422), (False, 424)])
    async def test_tells_of_a_failure(self, its: Running, *, permanent: bool, status: int):
        """A task that fails meanwhile is an error that names it: 422 where no repetition helps."""
        asking = asyncio.create_task(
            its.client.post("/api/tts", json=BODY, headers={"Prefer": "respond-async, wait=60"})
        )
        task_id = await first_task(its)
        await fail(its.application, task_id, permanent=permanent)
        body = refusal(await asking, status, "template_missing", "the template is not there")
        assert body["taskId"] == str(task_id)

    async def test_tells_of_a_cancellation(self, its: Running):
        """A task that is canceled meanwhile is an error, too."""
        asking = asyncio.create_task(
            its.client.post("/api/tts", json=BODY, headers={"Prefer": "wait=60"})
        )
        task_id = await first_task(its)
        await its.client.post("/api/tts/cancel", json={"taskId": str(task_id)})
        refusal(await asking, 422, "canceled")


async def first_task(its: Running) -> UUID:
    """The id of the task whose request is being answered."""
    events: list[Recorded] = await until(lambda: its.store.read(0, 1), "it is in the log")
    return events[0].task_id


class TestList:
    async def test_shows_and_filters(self, its: Running):
        """The list comes from the read model, newest first, by status, template, time and page."""
        tasks = [await its.post(templateId=f"t{n % 2}") for n in range(5)]
        await speak(its.application, tasks[0])
        await its.project()

        async def listed(**query: str | int) -> dict:
            return data(await its.client.get("/api/tts/tasks", params=query))

        everything = await listed()
        assert [task["taskId"] for task in everything["tasks"]] == list(map(str, tasks[::-1]))
        assert everything["nextCursor"] is None
        assert everything["tasks"][0]["audioUrl"] is None
        (spoken,) = (await listed(status="succeeded"))["tasks"]
        assert spoken["audioUrl"] == f"{its.gateway.url}/audio/audio-{tasks[0]}.wav"
        assert (spoken["format"], everything["tasks"][0]["format"]) == ("wav", None)
        assert "objectKey" not in spoken
        assert len((await listed(templateId="t1"))["tasks"]) == 2
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert (await listed(since=later))["tasks"] == []
        first = await listed(limit=3)
        second = await listed(limit=3, cursor=first["nextCursor"])
        assert first["tasks"] + second["tasks"] == everything["tasks"]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({"status": "lost"}, "invalid_request"),
            ({"limit": "0"}, "invalid_request"),
            ({"limit": "201"}, "invalid_request"),
            ({"limit": "many"}, "invalid_request"),
            ({"templateId": "a/b"}, "invalid_request"),
            ({"since": "yesterday"}, "invalid_request"),
            ({"since": "123"}, "invalid_request"),
            ({"since": "2025-01-01T00:00:00"}, "invalid_request"),
            ({"cursor": "x"}, "invalid_cursor"),
        ],
    )
    async def test_refuses_nonsense(self, its: Running, query: dict[str, str], code: str):
        """A filter that means nothing is refused by its name."""
        answer = await its.client.get("/api/tts/tasks", params=query)
        refusal(answer, 400, code, next(iter(query)))


class TestAudio:
    @pytest.mark.parametrize(
        ("ending", "kind"), [("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("opus", "audio/ogg")]
    )
    async def test_is_served_whole_and_in_parts(self, its: Running, ending: str, kind: str):
        """Players get the file, any range of it, and a 304 for what they have."""
        sound = bytes(range(256)) * 4096
        key = f"audio-{uuid4()}.{ending}"
        await its.audio.put(key, sound, "audio/wav")
        url = its.audio.url(key)
        whole = await its.client.get(url)
        assert (whole.status_code, whole.content) == (200, sound)
        assert whole.headers["content-type"] == kind
        assert whole.headers["accept-ranges"] == "bytes"
        size = len(sound)
        for asked, start, end in [
            ("bytes=0-0", 0, 1),
            ("bytes=100-499999", 100, 500_000),
            ("bytes=1000-", 1000, size),
            ("bytes=-10", size - 10, size),
            (f"bytes=10-{size * 2}", 10, size),
        ]:
            part = await its.client.get(url, headers={"Range": asked})
            assert (part.status_code, part.content) == (206, sound[start:end])
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        for ignored in ("bytes=5-2", "bytes=-", "bytes=0-1,5-6", "lines=1-2"):
            answer = await its.client.get(url, headers={"Range": ignored})
            assert (answer.status_code, len(answer.content)) == (200, size)
        beyond = await its.client.get(url, headers={"Range": f"bytes={size}-"})
        refusal(beyond, 416, "range_not_satisfiable")
        assert beyond.headers["content-range"] == f"bytes */{size}"
        etag = {"If-None-Match": whole.headers["etag"]}
        assert (await its.client.get(url, headers=etag)).status_code == 304
        stale = {"Range": "bytes=0-1", "If-Range": '"other"'}
        assert (await its.client.get(url, headers=stale)).status_code == 200

    async def test_has_a_head_that_reads_nothing(self, its: Running, monkeypatch):
        """HEAD tells the length of a file, or of a part of it, and leaves it closed."""
        key = f"audio-{uuid4()}.wav"
        await its.audio.put(key, bytes(1000), "audio/wav")
        monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was opened"))
        whole = await its.client.head(f"/audio/{key}")
        part = await its.client.head(f"/audio/{key}", headers={"Range": "bytes=0-99"})
        assert (whole.status_code, whole.headers["content-length"]) == (200, "1000")
        assert (part.status_code, part.headers["content-range"]) == (206, "bytes 0-99/1000")
        assert part.headers["content-length"] == "100"

    @pytest.mark.parametrize(
        "key",
        [
            "audio-00000000-0000-4000-8000-000000000000.wav",
            "x.wav",
            "audio-00000000-0000-4000-8000-000000000000.flac",
            "..%2Ftts.db",
            "%2e%2e%2ftts.db",
            "audio-..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2ftts.db.wav",
            "audio-%00.wav",
        ],
    )
    async def test_is_all_that_is_served(self, its: Running, key: str):
        """No key leads to another file."""
        refusal(await its.client.get(f"/audio/{key}"), 404, "not_found")


class TestOperation:
    async def test_health_names_what_is_down(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """Health is 200 while every part answers, else 503 with the part; the log says why."""
        state = {"why": ""}

        async def queue() -> None:
            if state["why"]:
                raise Unavailable(state["why"])

        async def fine() -> None:
            return

        async with running(tmp_path, probes={"store": fine, "queue": queue}) as its:
            answer = data(await its.client.get("/health"))
            assert answer == {"status": "ok", "parts": {"store": "ok", "queue": "ok"}}
            state["why"] = "RabbitMQ: 10.0.0.7:5672 refused the connection"
            answer = await its.client.get("/health")
            assert answer.status_code == 503
            body = answer.json()
            assert (body["success"], body["code"]) == (False, "unhealthy")
            assert body["error"].startswith("queue: not ready")
            assert "10.0.0.7" not in answer.text
            assert "queue: RabbitMQ: 10.0.0.7:5672 refused" in caplog.text
            assert body["data"]["parts"]["store"] == "ok"

    async def test_system_tells_no_secrets(self, tmp_path: Path):
        """The system's description says what runs, and nothing that opens a door."""
        secrets = {"replicate_api_token": "r8_hidden"}
        async with running(tmp_path, **secrets) as its:
            answer = await its.client.get("/system")
            assert "hidden" not in answer.text
            system = data(answer)
            assert system["deployment"] == {
                "kind": "embedded",
                "store": "sqlite",
                "queue": "memory",
                "audio": "folder",
            }
            assert {"version", "uptimeSeconds", "position", "streams"} <= set(system)

    async def test_metrics_count(self, its: Running):
        """Requests are counted by route and status, and the time to accept is measured."""

        async def count(sample: str) -> float:
            text = (await its.client.get("/metrics")).text
            found = [line for line in text.splitlines() if line.startswith(sample)]
            return float(found[0].rpartition(" ")[2]) if found else 0.0

        requests = 'tts_http_requests_total{method="POST",route="/api/tts",status="202"}'
        before = await count(requests), await count("tts_accept_seconds_count")
        await its.post()
        after = await count(requests), await count("tts_accept_seconds_count")
        assert (after[0] - before[0], after[1] - before[1]) == (1, 1)

    async def test_index_leads_on(self, its: Running):
        """Whoever opens the address finds the way."""
        answer = await its.client.get("/")
        assert answer.headers["content-type"].startswith("text/html")
        assert "sse-client-example.html" in answer.text
        assert "docs" in answer.text


class TestStopping:
    async def test_lets_requests_finish(self, tmp_path: Path):
        """A request that waits is answered when the gateway stops, and nobody new is let in."""
        async with running(tmp_path, **LONG) as its:
            asking = asyncio.create_task(
                its.client.post("/api/tts", json=BODY, headers={"Prefer": "wait=600"})
            )
            await first_task(its)
            await until(lambda: its.gateway.hub._final, "the request waits")
            async with asyncio.timeout(SECONDS):
                await its.gateway.stop()
            assert data(await asking, 202)["status"] == "started"
            with pytest.raises(httpx.ConnectError):
                await httpx.AsyncClient(base_url=its.gateway.url).get("/")

    async def test_cuts_off_who_does_not_finish(self, tmp_path: Path):
        """A client that never sends the rest of its request holds the stop up for so long only."""
        async with running(tmp_path, shutdown_seconds=1) as its:
            reader, writer = await asyncio.open_connection("127.0.0.1", its.settings.port)
            head = b"POST /api/tts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
            writer.write(head + b"{")
            await writer.drain()
            await until(lambda: its.gateway._server.connections, "the connection is there")
            async with asyncio.timeout(SECONDS):
                await its.gateway.stop()
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()

    async def test_taken_address_is_named(self, its: Running, tmp_path: Path):
        """A port that is in use stops the start with a message that says so."""
        with pytest.raises(Unavailable, match=str(its.settings.port)):
            async with running(tmp_path / "other", port=its.settings.port):
                pass
