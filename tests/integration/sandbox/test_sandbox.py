"""The sandbox, driven by Replicate's own client and by a plain HTTP client."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from replicate.client import Client
from replicate.exceptions import ReplicateError
from replicate.prediction import Prediction
from sanic import Sanic, text

from tests.services.ports import free_port
from tests.waiting import SECONDS, until
from tts.sandbox import Behaviour, Sandbox, api, start_sandbox

VERSION = "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
QUICK = Behaviour(boot_seconds=0.05, predict_seconds=0.05)
SLOW = Behaviour(boot_seconds=0.0, predict_seconds=3600.0)
TEXT = "今天天气很好，我们去公园散步吧。"

SERVE = """
import asyncio, sys
from pathlib import Path
from tts.sandbox import start_sandbox

async def serve():
    sandbox = await start_sandbox(host="127.0.0.1", port=0, data_dir=Path(sys.argv[1]))
    print(sandbox.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A quick sandbox on a free port."""
    sandbox = await start_sandbox(behaviour=QUICK)
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client that carries no token."""
    async with httpx.AsyncClient(base_url=sandbox.url) as client:
        yield client


@pytest.fixture
async def replicate(sandbox: Sandbox) -> AsyncIterator[Client]:
    """The real client, pointed at the sandbox."""
    async with connected(sandbox.url) as client:
        yield client


class connected:  # noqa: N801 -- read as a verb
    """The real client, closed at the end, which it cannot do itself."""

    def __init__(self, url: str) -> None:
        self._client = Client(api_token="r8_test", base_url=url)  # noqa: S106
        self._client.poll_interval = 0.02

    async def __aenter__(self) -> Client:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client._async_client.aclose()


def speech(spoken: str = TEXT, **fields: str) -> dict[str, str]:
    """An input that the model accepts."""
    return {
        "source_audio": "https://example.com/t1/source_audio.mp3",
        "source_transcript": "你好",
        "tts_text": spoken,
        **fields,
    }


async def spoken(client: Client, given: dict[str, str]) -> Prediction:
    """The prediction when it is over."""
    prediction = await client.predictions.async_create(version=VERSION, input=given)
    async with asyncio.timeout(SECONDS):
        await prediction.async_wait()
    return prediction


async def samples(http: httpx.AsyncClient, prediction: Prediction) -> np.ndarray:
    """The sound of a prediction's output."""
    reply = await http.get(prediction.output)
    return soundfile.read(io.BytesIO(reply.raise_for_status().content))[0]


class TestPredictions:
    """What Replicate's client sees."""

    async def test_goes_through_the_statuses_in_order(
        self, replicate: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A prediction is starting, processing, succeeded, with its times at the end."""
        now = began = time.time()
        monkeypatch.setattr(api, "now", lambda: now)
        prediction = await replicate.predictions.async_create(version=VERSION, input=speech())
        seen = [prediction.status]
        for elapsed in (0.04, 0.06, 0.09, 0.11):
            now = began + elapsed
            await prediction.async_reload()
            seen.append(prediction.status)
        assert seen == ["starting", "starting", "processing", "processing", "succeeded"]
        assert len(prediction.id) == 26
        assert prediction.metrics["predict_time"] == pytest.approx(0.05, abs=1e-5)
        assert prediction.started_at < prediction.completed_at
        assert prediction.progress.percentage == 1.0
        assert prediction.output.endswith("/out.wav")

    async def test_the_output_is_real_speech(
        self, replicate: Client, http: httpx.AsyncClient
    ) -> None:
        """The output is 24 kHz float WAV, as long as a person would need, and not silent."""
        prediction = await spoken(replicate, speech())
        reply = await http.get(prediction.output)
        info = soundfile.info(io.BytesIO(reply.content))
        assert (info.samplerate, info.format, info.subtype) == (24000, "WAV", "FLOAT")
        assert 2.0 < info.duration < 8.0
        sound = await samples(http, prediction)
        assert float(np.sqrt(np.mean(sound**2))) > 0.02

    async def test_speaks_the_first_80_characters_only(
        self, replicate: Client, http: httpx.AsyncClient
    ) -> None:
        """What follows the first segment of a text is dropped without a word."""
        long = "春天来了，花儿开了。" * 20
        whole, first, half = [
            await samples(http, await spoken(replicate, speech(part)))
            for part in (long, long[:80], long[:40])
        ]
        assert np.array_equal(whole, first)
        assert half.size < 0.7 * first.size

    async def test_tone_is_cheap_and_differs_by_text(
        self, replicate: Client, http: httpx.AsyncClient
    ) -> None:
        """With speech=tone the output is a quarter of a second, another one for another text."""
        await http.patch("/sandbox/settings", json={"speech": "tone"})
        one, other = [
            await samples(http, await spoken(replicate, speech(words))) for words in ("a", "b")
        ]
        assert one.size == other.size == 6000
        assert not np.array_equal(one, other)

    async def test_waits_when_asked(self, replicate: Client) -> None:
        """Prefer: wait brings the output with the creation, in a status that is not final yet."""
        prediction = await replicate.predictions.async_create(
            version=VERSION, input=speech(), wait=10
        )
        assert prediction.status == "processing"
        assert prediction.output

    async def test_cancel_ends_it_at_once(self, replicate: Client, http: httpx.AsyncClient) -> None:
        """A canceled prediction stays canceled, and a second cancel changes nothing."""
        await http.patch("/sandbox/settings", json={"predict_seconds": 3600})
        prediction = await replicate.predictions.async_create(version=VERSION, input=speech())
        await prediction.async_cancel()
        assert prediction.status == "canceled"
        completed_at = prediction.completed_at
        await prediction.async_cancel()
        assert (prediction.status, prediction.completed_at) == ("canceled", completed_at)
        assert (await http.get("/sandbox/stats")).json()["running"] == 0

    async def test_lists_newest_first_in_pages(self, replicate: Client) -> None:
        """The list has 100 a page, and next and previous lead through all of it and back."""
        created = [
            (
                await replicate.predictions.async_create(version=VERSION, input=speech(str(number)))
            ).id
            for number in range(205)
        ]
        pages = [await replicate.predictions.async_list()]
        while pages[-1].next:
            pages.append(await replicate.predictions.async_list(pages[-1].next))
        assert [len(page) for page in pages] == [100, 100, 5]
        assert [item.id for page in pages for item in page] == created[::-1]
        back = await replicate.predictions.async_list(pages[-1].previous)
        assert [item.id for item in back] == [item.id for item in pages[1]]

    async def test_lists_by_time(self, replicate: Client, http: httpx.AsyncClient) -> None:
        """created_after and created_before bound the list."""
        first = await replicate.predictions.async_create(version=VERSION, input=speech("one"))
        between = datetime.now(UTC)
        second = await replicate.predictions.async_create(version=VERSION, input=speech("two"))
        token = {"authorization": "Bearer r8_test"}
        for name, expected in (("created_after", second), ("created_before", first)):
            query = {name: between.isoformat()}
            listed = (await http.get("/v1/predictions", params=query, headers=token)).json()
            assert [item["id"] for item in listed["results"]] == [expected.id]
            assert listed["results"][0]["input"] == expected.input
        future = {"created_after": (between + timedelta(hours=1)).isoformat()}
        empty = (await http.get("/v1/predictions", params=future, headers=token)).json()
        assert empty == {"next": None, "previous": None, "results": []}

    async def test_data_is_removed_after_the_retention(
        self, replicate: Client, http: httpx.AsyncClient
    ) -> None:
        """After its hour the output is null, the file is gone, data_removed is true."""
        kept = await spoken(replicate, speech())
        assert (await http.get(kept.output)).status_code == 200
        await http.patch("/sandbox/settings", json={"retention_seconds": 0})
        prediction = await spoken(replicate, speech())
        token = {"authorization": "Bearer r8_test"}
        body = (await http.get(f"/v1/predictions/{prediction.id}", headers=token)).json()
        assert (body["status"], body["output"], body["data_removed"]) == ("succeeded", None, True)
        assert (body["input"], body["logs"]) == ({}, "")

    async def test_instructed_task_without_instruction_fails(self, replicate: Client) -> None:
        """The model itself refuses that task when the instruction is empty."""
        task = "Instructed Voice Generation"
        assert (await spoken(replicate, speech(task=task))).status == "failed"
        told = await spoken(replicate, speech(task=task, instruction="开心地"))
        assert told.status == "succeeded"

    async def test_cancel_after(self, http: httpx.AsyncClient) -> None:
        """Cancel-After takes 5 seconds to 24 hours, in seconds, minutes or hours."""
        body = {"version": VERSION, "input": speech()}
        for given, status in (("4s", 400), ("5s", 201), ("5m", 201), ("25h", 400), ("soon", 400)):
            headers = {"authorization": "Bearer r8_test", "cancel-after": given}
            reply = await http.post("/v1/predictions", json=body, headers=headers)
            assert reply.status_code == status, given

    async def test_the_model_and_its_version(self, replicate: Client) -> None:
        """The pages of the model and of its version are what the client expects."""
        model = await replicate.models.async_get("chenxwh/cosyvoice2-0.5b")
        version = await model.versions.async_get(VERSION)
        schema = version.openapi_schema["components"]["schemas"]["Input"]
        assert model.latest_version.id == version.id == VERSION
        assert schema["required"] == ["source_audio", "source_transcript", "tts_text"]


class TestRefusals:
    """What Replicate's client is told when it is wrong."""

    async def test_without_a_token(self, http: httpx.AsyncClient) -> None:
        """Every call without a token is a 401 with Replicate's body."""
        for method, path in (("POST", "/v1/predictions"), ("GET", "/v1/predictions/x")):
            reply = await http.request(method, path, json={})
            assert reply.status_code == 401
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json() == {
                "title": "Unauthenticated",
                "detail": "You did not pass a valid authentication token",
                "status": 401,
            }

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"tts_text": None}, "input.tts_text"),
            ({"tts_text": 5}, "input.tts_text"),
            ({"source_audio": "not a uri"}, "input.source_audio"),
            ({"task": "sing"}, "input.task"),
        ],
    )
    async def test_bad_input(
        self, http: httpx.AsyncClient, wrong: dict[str, object], field: str
    ) -> None:
        """A value that the schema does not allow is a 422 that names the field."""
        reply = await http.post(
            "/v1/predictions",
            json={"version": VERSION, "input": {**speech(), **wrong}},
            headers={"authorization": "Bearer r8_test"},
        )
        assert reply.status_code == 422
        assert reply.json()["title"] == "Input validation failed"
        assert [item["field"] for item in reply.json()["invalid_fields"]] == [field]

    async def test_missing_input(self, replicate: Client) -> None:
        """All missing fields are named at once."""
        with pytest.raises(ReplicateError) as caught:
            await replicate.predictions.async_create(version=VERSION, input={})
        assert caught.value.status == 422
        for name in ("source_audio", "source_transcript", "tts_text"):
            assert f"{name} is required" in caught.value.detail

    async def test_unknown_version(self, replicate: Client, http: httpx.AsyncClient) -> None:
        """Any version will do until the known ones are named."""
        await replicate.predictions.async_create(version="a" * 64, input=speech())
        await http.patch("/sandbox/settings", json={"versions": [VERSION]})
        await replicate.predictions.async_create(version=VERSION, input=speech())
        for version in ("a" * 64, "latest"):
            with pytest.raises(ReplicateError) as caught:
                await replicate.predictions.async_create(version=version, input=speech())
            assert caught.value.title == "Invalid version or not permitted"

    async def test_unknown_prediction(self, replicate: Client) -> None:
        """A prediction that does not exist is a 404."""
        with pytest.raises(ReplicateError) as caught:
            await replicate.predictions.async_get("nonesuch")
        assert caught.value.status == 404

    async def test_wrong_settings(self, http: httpx.AsyncClient) -> None:
        """A setting that does not fit is refused with its name, and nothing changes."""
        before = (await http.get("/sandbox/settings")).json()
        for wrong in ({"boot_seconds": "1"}, {"boot_seconds": -1}, {"speech": "song"}, {"x": 1}):
            reply = await http.patch("/sandbox/settings", json=wrong)
            assert reply.status_code == 400
            assert next(iter(wrong)) in reply.json()["error"]
        assert (await http.get("/sandbox/settings")).json() == before


class TestTemplates:
    """The host of the reference voices."""

    async def test_any_id_has_audio_and_transcript(self, http: httpx.AsyncClient) -> None:
        """Any valid template id has spoken MP3 audio and its transcript."""
        audio = await http.get("/any-Id_9/source_audio.mp3")
        assert audio.headers["content-type"] == "audio/mpeg"
        sound, rate = soundfile.read(io.BytesIO(audio.content))
        assert soundfile.info(io.BytesIO(audio.content)).format == "MP3"
        assert audio.content[0] == 0xFF
        assert audio.content[1] & 0xE0 == 0xE0
        assert 2.0 < sound.size / rate < 30.0
        assert float(np.sqrt(np.mean(sound**2))) > 0.02
        transcript = await http.get("/any-Id_9/source_transcript.txt")
        assert transcript.headers["content-type"] == "text/plain; charset=utf-8"
        assert "你好" in transcript.content.decode()

    async def test_missing_and_invalid_ids(self, http: httpx.AsyncClient) -> None:
        """Ids that start with missing, or are no ids, are not found."""
        for template_id in ("missing", "missing-7", "a.b", "x" * 65, "%E5%A5%BD"):
            for name in ("source_audio.mp3", "source_transcript.txt"):
                assert (await http.get(f"/{template_id}/{name}")).status_code == 404

    async def test_bom(self, http: httpx.AsyncClient) -> None:
        """The template bom has a byte order mark and then the same transcript."""
        plain = (await http.get("/t1/source_transcript.txt")).content
        assert (await http.get("/bom/source_transcript.txt")).content == b"\xef\xbb\xbf" + plain

    async def test_conditional_and_partial_requests(self, http: httpx.AsyncClient) -> None:
        """HEAD, If-None-Match and Range work as on any static host."""
        path = "/t1/source_audio.mp3"
        whole = await http.get(path)
        head = await http.head(path)
        assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))
        same = await http.get(path, headers={"if-none-match": whole.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        for given, expected in (
            ("bytes=0-3", whole.content[:4]),
            ("bytes=100-", whole.content[100:]),
            ("bytes=-5", whole.content[-5:]),
        ):
            part = await http.get(path, headers={"range": given})
            assert (part.status_code, part.content) == (206, expected)
        beyond = await http.get(path, headers={"range": f"bytes={len(whole.content)}-"})
        assert beyond.status_code == 416


class TestCounters:
    """What a test can ask the sandbox about its callers."""

    async def test_counts_creations_polls_and_calls(
        self, replicate: Client, http: httpx.AsyncClient
    ) -> None:
        """Creations are counted by text, polls by prediction, calls by route; DELETE resets."""
        await http.patch("/sandbox/settings", json={"predict_seconds": 3600})
        for words in ("one", "two", "two"):
            last = await replicate.predictions.async_create(version=VERSION, input=speech(words))
        await last.async_reload()
        await last.async_reload()
        stats = (await http.get("/sandbox/stats")).json()
        assert stats["creations"] == {"total": 3, "by_text": {"one": 1, "two": 2}}
        assert (stats["peak_running"], stats["running"]) == (3, 3)
        assert stats["polls"] == {last.id: 2}
        assert stats["calls"] == {"create": 3, "get": 2}
        await last.async_cancel()
        await http.delete("/sandbox/stats")
        stats = (await http.get("/sandbox/stats")).json()
        assert stats["creations"] == {"total": 0, "by_text": {}}
        assert (stats["peak_running"], stats["running"]) == (2, 2)

    async def test_tells_who_leaks_the_token(
        self, replicate: Client, http: httpx.AsyncClient
    ) -> None:
        """A token that arrives where files are fetched is counted, one at the API is not."""
        prediction = await spoken(replicate, speech())
        await http.get(prediction.output)
        await http.get("/t1/source_transcript.txt")
        stats = (await http.get("/sandbox/stats")).json()
        assert stats["tokens_at"] == {"delivery": 0, "templates": 0}
        await http.get(prediction.output, headers={"authorization": "Bearer r8_test"})
        stats = (await http.get("/sandbox/stats")).json()
        assert stats["tokens_at"] == {"delivery": 1, "templates": 0}


class TestLife:
    """Starting, stopping and coming back."""

    async def test_predictions_survive_kill_9(self, tmp_path: Path) -> None:
        """A sandbox that was killed still has its predictions, canceled ones included."""

        async def serve() -> tuple[asyncio.subprocess.Process, str]:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SERVE, str(tmp_path), stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(SECONDS):
                return process, (await process.stdout.readline()).decode().strip()

        process, url = await serve()
        try:
            async with connected(url) as client:
                done = await spoken(client, speech("one"))
                async with httpx.AsyncClient(base_url=url) as http:
                    await http.patch("/sandbox/settings", json={"predict_seconds": 3600})
                gone = await client.predictions.async_create(version=VERSION, input=speech("two"))
                await gone.async_cancel()
            process.send_signal(signal.SIGKILL)
            await process.wait()
            journal = tmp_path / "predictions.jsonl"
            journal.write_bytes(journal.read_bytes() + b'{"id": "cut o')
            process, url = await serve()
            async with connected(url) as client, httpx.AsyncClient(base_url=url) as http:
                again = await client.predictions.async_get(done.id)
                assert again.dict(exclude={"urls", "output"}) == done.dict(
                    exclude={"urls", "output"}
                )
                assert (await http.get(again.output)).status_code == 200
                assert (await client.predictions.async_get(gone.id)).status == "canceled"
                stats = (await http.get("/sandbox/stats")).json()
                assert stats["creations"]["by_text"] == {"one": 1, "two": 1}
        finally:
            process.kill()
            await process.wait()

    async def test_two_apps_and_two_sandboxes_in_one_process(self, sandbox: Sandbox) -> None:
        """Another sandbox and another Sanic app, started and stopped beside it, do no harm."""
        app = Sanic("beside-the-sandbox", configure_logging=False)
        app.config.TOUCHUP = False  # a process can do it once only
        app.add_route(lambda _request: text("mine"), "/", name="mine")
        second = await start_sandbox(behaviour=QUICK)
        server = await app.create_server(host="127.0.0.1", port=0, access_log=False)
        await server.startup()
        port = server.server.sockets[0].getsockname()[1]
        try:
            async with connected(second.url) as other, httpx.AsyncClient() as http:
                one, two = await asyncio.gather(
                    *(spoken(other, speech(words)) for words in ("hello", "你好"))
                )
                assert one.status == two.status == "succeeded"
                assert (await http.get(f"http://127.0.0.1:{port}/")).text == "mine"
                await second.stop()
                assert (await http.get(f"{sandbox.url}/sandbox")).status_code == 200
        finally:
            server.server.close()
            Sanic.unregister_app(app)

    async def test_stops_at_once_and_frees_its_port(self, tmp_path: Path) -> None:
        """A stop does not wait for callers that hang, and the same port serves again."""
        port = free_port()
        first = await start_sandbox(port=port, data_dir=tmp_path, behaviour=SLOW)
        async with httpx.AsyncClient(base_url=first.url, timeout=30) as http:
            waiting = asyncio.create_task(
                http.post(
                    "/v1/predictions",
                    json={"version": VERSION, "input": speech()},
                    headers={"authorization": "Bearer r8_test", "prefer": "wait"},
                )
            )

            async def runs() -> bool:
                return bool((await http.get("/sandbox/stats")).json()["running"])

            await until(runs, "the prediction runs")
            started = time.monotonic()
            await first.stop()
            assert time.monotonic() - started < 20  # the caller would wait for a minute
            with pytest.raises(httpx.TransportError):
                await waiting
        second = await start_sandbox(port=port, data_dir=tmp_path)
        async with httpx.AsyncClient(base_url=second.url) as http:
            assert (await http.get("/sandbox/stats")).json()["running"] == 1
        with pytest.raises(OSError, match="in use"):
            await start_sandbox(port=port)
        await second.stop()
