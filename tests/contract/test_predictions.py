"""Replicate's port: every row of the table "step x failure", over real sockets."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest
import soundfile

from tests.services.ports import free_port
from tests.services.scripted_http import Act, Drip, Hang, Reply, Reset, ScriptedHttp, answer
from tests.waiting import until
from tts.domain.failures import StepError, Treatment
from tts.ports.speech import Prediction, PredictionState, Speech
from tts.replicate.predictions import ReplicatePredictions
from tts.sandbox import Behaviour, start_sandbox
from tts.sound.recording import record
from tts.templates import HttpTemplates

VERSION = "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
TOKEN = "r8_secret"  # noqa: S105 -- nobody's
ID = "gm3qorzdhgbfurvjtvhg6dckhu"
TEXT = "今天晚上七点,我们在老地方见面,好吗?"
SPEECH = Speech(TEXT, "你好", "https://voices.test/a/source_audio.mp3")
INPUT = {
    "source_audio": SPEECH.audio_url,
    "source_transcript": SPEECH.transcript,
    "tts_text": TEXT,
    "task": "zero-shot voice clone",
}
CREATE, LIST, GET = "POST /v1/predictions", "GET /v1/predictions", f"GET /v1/predictions/{ID}"
CANCEL = f"POST /v1/predictions/{ID}/cancel"
SINCE = datetime(2026, 5, 1, 12, tzinfo=UTC)
UNTIL = SINCE + timedelta(seconds=32)
SHORT_SECONDS = 1.0  # in which a request reaches a server of this process, whatever else runs


def prediction(status: str = "starting", **fields: Any) -> dict[str, Any]:
    """A prediction as Replicate writes it."""
    return {
        "id": ID,
        "model": "chenxwh/cosyvoice2-0.5b",
        "version": VERSION,
        "input": INPUT,
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "status": status,
        "created_at": "2026-05-01T12:00:01.123Z",
        "urls": {},
    } | fields


def problem(status: int, title: str = "", **fields: Any) -> Reply:
    """An error as Replicate writes it."""
    return answer(
        {"title": title, "detail": "", "status": status, **fields},
        status,
        Content_Type="application/problem+json",
    )


@pytest.fixture
async def server() -> AsyncIterator[ScriptedHttp]:
    async with ScriptedHttp() as server:
        yield server


@asynccontextmanager
async def adapter(
    url: str,
    *,
    seconds: float = 5.0,
    max_bytes: int = 1000,
    output_hosts: Iterable[str] = (),
    **more: Any,
) -> AsyncIterator[ReplicatePredictions]:
    """The adapter under test, closed at the end."""
    predictions = ReplicatePredictions(
        token=TOKEN,
        base_url=url,
        model_version=VERSION,
        timeout=seconds,
        max_bytes=max_bytes,
        download_timeout=seconds,
        output_hosts=list(output_hosts),
        **more,
    )
    try:
        yield predictions
    finally:
        await predictions.aclose()


@pytest.fixture
async def predictions(server) -> AsyncIterator[ReplicatePredictions]:
    async with adapter(server.url) as predictions:
        yield predictions


async def failure(work: Awaitable[object]) -> StepError:
    """What the work ends with."""
    with pytest.raises(StepError) as caught:
        await work
    return caught.value


def outcome(error: StepError) -> tuple[str, str, Treatment]:
    """What a failure says to machines."""
    return error.step, error.code, error.treatment


# --- creation


async def test_a_creation_carries_version_input_token_and_limit(server, predictions):
    """One POST says all: what to speak, at which version, for whom, and for how long."""
    server.on(CREATE, answer(prediction(), 201))
    created = await predictions.create(SPEECH, seconds_left=90.7)
    assert created == Prediction(ID, PredictionState.RUNNING, VERSION)
    (request,) = server.requests
    assert request.json == {"version": VERSION, "input": INPUT}
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Cancel-After"] == "90s"


@pytest.mark.parametrize(("left", "header"), [(-3, "5s"), (4.9, "5s"), (1e9, "86400s")])
async def test_the_limit_stays_within_what_replicate_takes(server, predictions, left, header):
    """The time that is left is cut to five seconds at least and a day at most."""
    server.on(CREATE, answer(prediction(), 201))
    await predictions.create(SPEECH, seconds_left=left)
    assert server.requests[0].headers["Cancel-After"] == header


async def test_an_instruction_chooses_the_task_that_heeds_it(server, predictions):
    """The model ignores an instruction at any other task."""
    server.on(CREATE, answer(prediction(), 201))
    speech = Speech(TEXT, "你好", SPEECH.audio_url, "用四川话说")
    await predictions.create(speech, seconds_left=60)
    assert server.requests[0].json["input"] == INPUT | {
        "task": "Instructed Voice Generation",
        "instruction": "用四川话说",
    }


async def test_a_creation_that_has_failed_already_still_gives_its_id(server, predictions):
    """It exists and may be paid for, so its id gets into the log; polling tells the rest."""
    server.on(CREATE, answer(prediction("failed", error="E1001"), 201))
    assert (await predictions.create(SPEECH, seconds_left=60)).id == ID


AMBIGUOUS = ("create_ambiguous", Treatment.AMBIGUOUS)
CREATE_FAILURES: dict[str, tuple[Act, tuple[str, Treatment]]] = {
    "400": (problem(400), ("invalid_input", Treatment.PERMANENT)),
    "422 input": (
        problem(422, "Input validation failed", invalid_fields=[{"field": "input.tts_text"}]),
        ("invalid_input", Treatment.PERMANENT),
    ),
    "422 version": (
        problem(422, "Invalid version or not permitted"),
        ("replicate_version_refused", Treatment.CONFIGURATION),
    ),
    "404": (problem(404), ("replicate_model_missing", Treatment.CONFIGURATION)),
    "401": (problem(401), ("replicate_unauthorized", Treatment.CONFIGURATION)),
    "403": (problem(403), ("replicate_forbidden", Treatment.CONFIGURATION)),
    "402": (problem(402), ("replicate_payment_required", Treatment.CONFIGURATION)),
    "429": (problem(429), ("replicate_throttled", Treatment.THROTTLED)),
    "413": (Reply(413, b"too large"), ("create_refused", Treatment.PERMANENT)),
    "301": (
        Reply(301, headers={"Location": "https://elsewhere.test/"}),
        ("replicate_moved", Treatment.CONFIGURATION),
    ),
    "500": (problem(500), ("create_failed", Treatment.TRANSIENT)),
    "502": (problem(502), AMBIGUOUS),
    "502 HTML": (Reply(502, b"<html>", {"Content-Type": "text/html"}), AMBIGUOUS),
    "503": (problem(503), ("create_failed", Treatment.TRANSIENT)),
    "503 HTML": (Reply(503, b"<html>", {"Content-Type": "text/html"}), AMBIGUOUS),
    "503 in other words": (answer({"detail": "no"}, 503), AMBIGUOUS),
    "504": (problem(504), AMBIGUOUS),
    "522": (Reply(522, b"error code: 522"), AMBIGUOUS),
    "an array as error": (answer(["no"], 500), AMBIGUOUS),
    "a string as error": (answer("no", 422), ("invalid_input", Treatment.PERMANENT)),
    "reset after send": (Reset(), AMBIGUOUS),
    "no reply": (Hang(), AMBIGUOUS),
    "endless reply": (Drip(), AMBIGUOUS),
    "reply cut short": (Reply(201, b'{"id": "gm3q"}', cut=5), AMBIGUOUS),
    "HTML": (Reply(200, b"<html>"), AMBIGUOUS),
    "an array": (answer([1], 201), AMBIGUOUS),
    "no id": (answer({"status": "starting"}, 201), AMBIGUOUS),
    "not UTF-8": (Reply(201, b'{"id": "\xff\xfe"}'), AMBIGUOUS),
}


@pytest.mark.parametrize(("act", "expected"), CREATE_FAILURES.values(), ids=CREATE_FAILURES)
async def test_a_failed_creation_is_told_apart_and_never_repeated(server, act, expected):
    """Each failure has its treatment, and whatever it is, one request left, quickly."""
    server.on(CREATE, act)
    async with adapter(
        server.url, seconds=SHORT_SECONDS if isinstance(act, Hang | Drip) else 5.0
    ) as predictions:
        error = await failure(predictions.create(SPEECH, seconds_left=60))
    assert outcome(error) == ("create", *expected)
    assert len(server.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_creation_that_never_left_is_safe_to_repeat(host):
    """A refused connection or an unknown name has created nothing."""
    async with adapter(f"http://{host}:{free_port()}") as predictions:
        error = await failure(predictions.create(SPEECH, seconds_left=60))
    assert outcome(error) == ("create", "replicate_unreachable", Treatment.TRANSIENT)


THROTTLED = "Request was throttled. Your rate limit resets in ~5s."


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (answer({"detail": THROTTLED, "retry_after": 7}, 429, Retry_After="9"), 9),
        (answer({"detail": THROTTLED, "retry_after": 7}, 429), 7),
        (answer({"detail": THROTTLED}, 429), 5),
        (answer([], 429, Retry_After="soon"), None),
    ],
    ids=["header", "field", "text", "nothing"],
)
async def test_a_throttled_creation_says_when_to_come_back(server, predictions, reply, seconds):
    """The wait is taken from the header, else the field, else the words."""
    server.on(CREATE, reply)
    error = await failure(predictions.create(SPEECH, seconds_left=60))
    assert error.retry_after == seconds


async def test_a_date_as_retry_after_is_understood(server, predictions):
    """The header may also name a moment."""
    server.on(CREATE, answer({}, 429, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"))
    error = await failure(predictions.create(SPEECH, seconds_left=60))
    assert error.retry_after > 1e9


async def test_a_refusal_does_not_repeat_what_was_said(server, predictions):
    """The message is stored for good: it says why, and quotes nothing."""
    server.on(CREATE, problem(422, "Input validation failed", detail=f"- tts_text: {TEXT}: bad"))
    error = await failure(predictions.create(SPEECH, seconds_left=60))
    assert error.message == ("Replicate answered 422: Input validation failed: - tts_text: …: bad")


# --- polling


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("starting", PredictionState.RUNNING),
        ("processing", PredictionState.RUNNING),
        ("canceled", PredictionState.CANCELED),
        ("aborted", PredictionState.CANCELED),
    ],
)
async def test_each_status_without_output_is_folded(server, predictions, status, state):
    """A status says whether it runs or was stopped, ``aborted`` included."""
    server.on(GET, answer(prediction(status)))
    assert await predictions.get(ID) == Prediction(ID, state, VERSION)


@pytest.mark.parametrize(
    ("output", "address"),
    [
        ("https://x.test/o.wav", "https://x.test/o.wav"),
        ("HTTPS://x.test/a b.wav\n", "https://x.test/a%20b.wav"),
        (["https://x.test/1", "https://x.test/2"], "https://x.test/1 https://x.test/2"),
        (["https://x.test/o.wav", "what was said"], "https://x.test/o.wav"),
        ({"audio": "https://x.test/o.wav"}, "https://x.test/o.wav"),
        ({"mel": "https://x.test/o.png", "audio_out": "https://x.test/o"}, "https://x.test/o"),
        ({"text": "so", "file": ["https://x.test/1"]}, "https://x.test/1"),
        ("data:audio/wav;base64,UklG\r\nRg==", "data:audio/wav;base64,UklGRg=="),
    ],
)
async def test_a_success_names_its_output_and_its_price(server, predictions, output, address):
    """The output is a URL, a list or an object; the time that is billed comes with it."""
    server.on(GET, answer(prediction("succeeded", output=output, metrics={"predict_time": 3.25})))
    assert await predictions.get(ID) == Prediction(
        ID, PredictionState.SUCCEEDED, VERSION, address, 3.25
    )


UNAVAILABLE = ("replicate_unavailable", Treatment.TRANSIENT)
UNREADABLE = ("replicate_unreadable", Treatment.TRANSIENT)
FAILED = ("prediction_failed", Treatment.PERMANENT)
INTERRUPTED = ("prediction_interrupted", Treatment.LOST)
POLL_FAILURES: dict[str, tuple[Act, tuple[str, Treatment]]] = {
    "429": (answer({}, 429, Retry_After="3"), ("replicate_throttled", Treatment.THROTTLED)),
    "500": (problem(500), UNAVAILABLE),
    "503": (answer({}, 503, Retry_After="600"), UNAVAILABLE),
    "504": (problem(504), UNAVAILABLE),
    "reset": (Reset(), UNAVAILABLE),
    "no reply": (Hang(), UNAVAILABLE),
    "endless reply": (Drip(), UNAVAILABLE),
    "404": (problem(404), ("prediction_lost", Treatment.LOST)),
    "401": (problem(401), ("replicate_unauthorized", Treatment.CONFIGURATION)),
    "418": (Reply(418, b"teapot"), UNREADABLE),
    "HTML": (Reply(200, b"<html>"), UNREADABLE),
    "an array": (answer([]), UNREADABLE),
    "unknown status": (answer(prediction("dreaming")), UNREADABLE),
    "no status": (answer({"id": ID}), UNREADABLE),
    "expired": (
        answer(prediction("succeeded", data_removed=True)),
        ("prediction_expired", Treatment.LOST),
    ),
    "no output": (answer(prediction("succeeded")), ("prediction_empty", Treatment.LOST)),
    "empty list": (
        answer(prediction("succeeded", output=[])),
        ("prediction_empty", Treatment.LOST),
    ),
    "failed: PA": (
        answer(
            prediction("failed", error="Prediction interrupted; please retry (code: PA)"),
        ),
        INTERRUPTED,
    ),
    "failed: Director": (
        answer(prediction("failed", error="Director: unexpected error handling prediction")),
        INTERRUPTED,
    ),
    "failed: other": (answer(prediction("failed", error="AssertionError: PANIC")), FAILED),
    "failed: no reason": (answer(prediction("failed")), FAILED),
} | {
    f"failed: {code}": (answer(prediction("failed", error=f"Broken ({code})")), INTERRUPTED)
    for code in ("E1000", "E6716", "E8367", "E8765", "E9243", "E9825", "E9828")
}


@pytest.mark.parametrize(("act", "expected"), POLL_FAILURES.values(), ids=POLL_FAILURES)
async def test_a_failed_poll_is_told_apart_without_hidden_retries(server, act, expected):
    """Each failure has its treatment, after one request, although the client would make ten.

    A connection that breaks under a GET may have been idle for too long: that is made anew, once.
    """
    server.on(GET, act)
    async with adapter(
        server.url, seconds=SHORT_SECONDS if isinstance(act, Hang | Drip) else 5.0
    ) as predictions:
        error = await failure(predictions.get(ID))
    assert outcome(error) == ("poll", *expected)
    assert len(server.requests) == (2 if isinstance(act, Reset) else 1)


async def test_a_throttled_poll_says_when_to_come_back(server, predictions):
    """``Retry-After`` reaches the caller, who waits itself."""
    server.on(GET, answer({}, 429, Retry_After="3"))
    error = await failure(predictions.get(ID))
    assert error.retry_after == 3


@pytest.mark.parametrize(
    ("quoted", "message"),
    [
        (TEXT, "cannot say '…'"),
        (TEXT[5:12], "cannot say '…'"),
        (TEXT.encode("unicode_escape").decode(), "cannot say '…'"),
        ("x" * 999, "cannot say '" + "x" * 999),
    ],
    ids=["whole", "part", "escaped", "nothing, at length"],
)
async def test_a_failure_gives_the_reason_without_what_was_said(
    server, predictions, quoted, message
):
    """The reason is Replicate's, trimmed, and without any quotation of the text."""
    server.on(GET, answer(prediction("failed", error=f"cannot say '{quoted}'")))
    error = await failure(predictions.get(ID))
    assert error.message == f"The prediction failed: {message}"[:300]


async def test_a_failure_whose_input_is_gone_keeps_its_reason_to_itself(server, predictions):
    """Nobody can tell any more what of it would be a quotation."""
    server.on(GET, answer(prediction("failed", error=f"bad: {TEXT}", input={})))
    error = await failure(predictions.get(ID))
    assert TEXT not in error.message
    assert outcome(error) == ("poll", *FAILED)


# --- looking for a prediction


def listed(id_: str, **fields: Any) -> dict[str, Any]:
    """A list's entry."""
    return prediction("processing") | {"id": id_} | fields


def ids(found):
    return [prediction.id for prediction in found]


async def test_the_list_is_searched_for_exactly_our_speech(server, predictions):
    """Only live ones for the same input since then are named, defaults filled in or not."""
    results = [
        listed("newest", input=INPUT | {"instruction": ""}),
        listed("other text", input=INPUT | {"tts_text": "其他"}),
        listed("instructed", input=INPUT | {"instruction": "slow"}),
        listed("stripped", input={}),
        listed("none", input=None),
        listed("failed", status="failed"),
        listed("canceled", status="canceled"),
        listed("aborted", status="aborted"),
        listed("older", status="succeeded"),
        listed("before", created_at="2026-05-01T11:59:59.999Z"),
        "no prediction",
    ]
    server.on(LIST, answer({"next": None, "previous": None, "results": results}))
    assert ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL)) == ["newest", "older"]
    assert parse_qs(urlsplit(server.requests[0].target).query) == {
        "created_after": ["2026-05-01T12:00:00+00:00"],
        "created_before": ["2026-05-01T12:00:33+00:00"],
    }


@pytest.mark.parametrize("minutes", [10, -60])
async def test_the_search_is_by_replicates_clock(server, minutes):
    """What our clock, minutes off, takes for the time of a creation is translated both ways."""
    ours = SINCE + timedelta(minutes=minutes)
    async with adapter(server.url, now=lambda: ours) as predictions:
        created = listed("ours", created_at=SINCE.isoformat())
        date = format_datetime(SINCE, usegmt=True)
        page = answer({"next": None, "results": [created]}, Date=date)
        server.on(LIST, page, page)
        seconds = timedelta(seconds=5)
        (found,) = await predictions.find(SPEECH, since=ours - seconds, until=ours + seconds)
        assert abs(found.created_at - ours) < timedelta(seconds=2)
        again = len(server.requests)
        await predictions.find(SPEECH, since=ours - seconds, until=ours + seconds)
    assert (again, len(server.requests)) == (2, 3)  # what is known once needs no second look


async def test_the_search_takes_a_time_cut_to_the_second(server, predictions):
    """Replicate's times may be coarser than ours; what it made in that second may be ours."""
    coarse = listed("coarse", created_at="2026-05-01T12:00:00Z")
    server.on(LIST, answer({"next": None, "results": [coarse]}))
    assert ids(
        await predictions.find(SPEECH, since=SINCE.replace(microsecond=900_000), until=UNTIL)
    ) == ["coarse"]


async def test_the_search_follows_the_pages(server, predictions):
    """A busy account's list is longer than a page."""
    onward = f"{server.url}/v1/predictions?cursor=2"
    server.on(
        LIST,
        answer({"next": onward, "results": [listed("a")]}),
        answer({"next": None, "results": [listed("b")]}),
    )
    assert ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL)) == ["a", "b"]
    assert server.requests[1].target == "/v1/predictions?cursor=2"


async def test_the_search_ends_where_the_list_gets_older(server, predictions):
    """A server that ignores the filter is not read to its first prediction."""
    old = listed("old", created_at="2026-04-01T00:00:00Z")
    server.on(LIST, answer({"next": f"{server.url}/v1/predictions", "results": [old]}))
    assert ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL)) == []
    assert len(server.requests) == 1


async def test_the_search_reads_its_time_to_the_end_whatever_others_do(server, predictions):
    """Ours lies behind thousands of others'."""
    others = [listed("x", input={})] * 100
    pages = [
        answer({"next": f"{server.url}/v1/predictions?cursor={n}", "results": others})
        for n in range(50)
    ]
    server.on(LIST, *pages, answer({"next": None, "results": [listed("ours")]}))
    assert ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL)) == ["ours"]


async def test_a_list_that_goes_round_in_circles_proves_nothing(server, predictions):
    """The doubt stays."""
    other = listed("x", input={})
    server.on(LIST, answer({"next": f"{server.url}/v1/predictions?cursor=1", "results": [other]}))
    error = await failure(predictions.find(SPEECH, since=SINCE, until=UNTIL))
    assert error.treatment is Treatment.AMBIGUOUS
    assert len(server.requests) == 2


async def test_pages_that_are_too_large_are_asked_for_in_shorter_times(server, predictions):
    """Others' inputs may be files of many megabytes; those around ours are read apart."""
    huge = answer({"next": None, "results": [listed("x", logs="x" * 5_000_000)]})
    none = answer({"next": None, "results": []})
    server.on(LIST, huge, none, huge, none, answer({"next": None, "results": [listed("ours")]}))
    assert ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL)) == ["ours"]
    times = [parse_qs(urlsplit(request.target).query) for request in server.requests]
    assert times[-1]["created_after"] == ["2026-05-01T12:00:00+00:00"]
    assert times[-1]["created_before"] < ["2026-05-01T12:00:09"]


async def test_the_shortest_time_may_have_a_large_page(server, predictions):
    """One output, or a moment with many, must not hide all other predictions for an hour."""
    huge = answer({"next": None, "results": [listed("x", logs="x" * 9_000_000), listed("ours")]})
    server.on(LIST, huge)
    assert "ours" in ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL))


async def test_pages_that_are_too_large_for_any_time_prove_nothing(
    server, predictions, monkeypatch
):
    """The doubt stays, and the search ends."""
    monkeypatch.setattr("tts.replicate.listing.NARROWEST_BYTES", 6_000_000)
    server.on(LIST, Reply(body=b" " * 6_000_001))
    error = await failure(predictions.find(SPEECH, since=SINCE, until=UNTIL))
    assert error.treatment is Treatment.AMBIGUOUS
    assert len(server.requests) < 10


async def test_the_list_goes_on_at_our_base_whatever_host_it_names(server, predictions):
    """Behind a proxy the list names Replicate's own host; our token stays where it was."""
    async with ScriptedHttp() as other:
        server.on(
            LIST,
            answer({"next": f"{other.url}/v1/predictions?cursor=2", "results": [listed("a")]}),
            answer({"next": None, "results": [listed("b")]}),
        )
        assert ids(await predictions.find(SPEECH, since=SINCE, until=UNTIL)) == ["a", "b"]
        assert other.requests == []
    assert server.requests[1].target == "/v1/predictions?cursor=2"


@pytest.mark.parametrize(
    "act",
    [problem(401), problem(404), problem(429), problem(503), Reset(), answer([]), answer({})],
    ids=["401", "404", "429", "503", "reset", "array", "no results"],
)
async def test_a_failed_search_leaves_the_creation_in_doubt(server, predictions, act):
    """Whatever kept us from looking, nothing may be created on the strength of it."""
    server.on(LIST, act)
    error = await failure(predictions.find(SPEECH, since=SINCE, until=UNTIL))
    assert error.step == "find"
    assert error.treatment is Treatment.AMBIGUOUS


# --- cancellation


@pytest.mark.parametrize(
    "reply",
    [answer(prediction("canceled")), answer(prediction("aborted")), problem(404), problem(422)],
    ids=["canceled", "aborted", "gone", "over"],
)
async def test_a_cancellation_is_done_when_nothing_runs(server, predictions, reply):
    """It was stopped, or there is nothing to stop."""
    server.on(CANCEL, reply)
    await predictions.cancel(ID)
    assert len(server.asked(CANCEL)) == 1


async def test_a_cancellation_that_did_not_arrive_raises(server, predictions):
    """What may still run is not taken for stopped."""
    server.on(CANCEL, problem(500))
    assert outcome(await failure(predictions.cancel(ID))) == ("cancel", *UNAVAILABLE)


# --- download


@pytest.fixture(autouse=True)
def _quickly_again(monkeypatch):
    monkeypatch.setattr("tts.replicate.output.AGAIN_SECONDS", 0.01)


def tone(pitch: int) -> bytes:
    """Half a second of it as the model writes sound."""
    file, time = BytesIO(), np.arange(12_000) / 24_000
    samples = (0.5 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
    soundfile.write(file, samples, 24_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


async def test_an_output_is_fetched_whole_and_without_our_token(server, predictions):
    """The host of an output is not Replicate's API, so it gets no token."""
    server.on("GET /o.wav", Reply(body=b"RIFF" * 200))
    assert await predictions.download(f"{server.url}/o.wav") == b"RIFF" * 200
    assert "Authorization" not in server.requests[0].headers


async def test_a_redirect_within_the_host_is_followed(server, predictions):
    """A host may move its own files."""
    server.on("GET /o.wav", Reply(302, headers={"Location": "/moved.wav"}))
    server.on("GET /moved.wav", Reply(body=b"sound"))
    assert await predictions.download(f"{server.url}/o.wav") == b"sound"


async def test_a_redirect_to_another_host_is_not_followed(server, predictions):
    """An output's host cannot send us anywhere, into our own network for instance."""
    async with ScriptedHttp() as other:
        server.on("GET /o.wav", Reply(302, headers={"Location": f"{other.url}/o.wav"}))
        error = await failure(predictions.download(f"{server.url}/o.wav"))
        assert other.requests == []
    assert outcome(error) == ("download", "output_refused", Treatment.PERMANENT)


@pytest.mark.parametrize(
    "uri",
    [
        "data:audio/wav;base64," + base64.b64encode(b"RIFF\0").decode(),
        "data:audio/wav;base64," + base64.b64encode(b"RIFF\0").decode().replace("=", "%3D"),
        "data:,RIFF%00",
    ],
)
async def test_an_output_can_be_the_address_itself(predictions, uri):
    """A data URI is decoded."""
    assert await predictions.download(uri) == b"RIFF\0"


REFUSED = ("output_refused", Treatment.PERMANENT)
BROKEN = ("output_broken", Treatment.LOST)
GONE = ("output_missing", Treatment.LOST)
AWAY = ("output_unavailable", Treatment.TRANSIENT)
CUT = b"RIFF\x00\x01\0\0WAVEfmt \x10\0\0\0" + b"\1" * 16 + b"data\xff\0\0\0\0\0"
DOWNLOAD_FAILURES: dict[str, tuple[Act, tuple[str, Treatment]]] = {
    "404": (Reply(404), GONE),
    "403": (Reply(403), GONE),
    "500": (Reply(500), AWAY),
    "503": (Reply(503, headers={"Retry-After": "4"}), AWAY),
    "429": (Reply(429), AWAY),
    "reset": (Reset(), AWAY),
    "truncated": (Reply(body=b"RIFF" * 100, cut=10), AWAY),
    "no reply": (Hang(), AWAY),
    "endless reply": (Drip(), AWAY),
    "too large": (Reply(body=b"x" * 1001), REFUSED),
    "too large, not said": (
        Reply(
            body=b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n",
            headers={"Transfer-Encoding": "chunked"},
        ),
        REFUSED,
    ),
    "compressed": (Reply(body=b"x", headers={"Content-Encoding": "gzip"}), REFUSED),
    "405": (Reply(405), REFUSED),
    "400": (Reply(400, b"<Error><Code>ExpiredToken</Code></Error>"), BROKEN),
    "a page": (Reply(body=b"<html>", headers={"Content-Type": "audio/wav"}), BROKEN),
    "a document": (Reply(body=b'{"detail": "not now"}'), BROKEN),
    "nothing": (Reply(), BROKEN),
    "shorter than its header": (Reply(body=CUT), BROKEN),
    "redirected in circles": (Reply(302, headers={"Location": "/o.wav"}), REFUSED),
}


@pytest.mark.parametrize(("act", "expected"), DOWNLOAD_FAILURES.values(), ids=DOWNLOAD_FAILURES)
async def test_a_failed_download_is_told_apart(server, act, expected):
    """Each failure has its treatment; what was truncated is never taken for the whole."""
    server.on("GET /o.wav", act)
    async with adapter(
        server.url, seconds=SHORT_SECONDS if isinstance(act, Hang | Drip) else 5.0
    ) as predictions:
        error = await failure(predictions.download(f"{server.url}/o.wav"))
    assert outcome(error) == ("download", *expected)
    assert not re.search(r"\d|127|localhost", error.message)


@pytest.mark.parametrize(
    "first", [Reply(400), Reply(body=b"<html>"), Reply(body=CUT)], ids=["400", "page", "cut"]
)
async def test_what_is_not_whole_is_downloaded_again_before_anything_is_paid(
    server, predictions, first
):
    """A host that is in trouble for a moment costs a second, and no prediction."""
    server.on("GET /o.wav", first, Reply(body=b"RIFF" * 200))
    assert await predictions.download(f"{server.url}/o.wav") == b"RIFF" * 200


async def test_an_output_within_its_limit_may_be_in_the_document_itself(server):
    """It was paid for, and minutes of speech in base64 are more than any other document."""
    sound = "data:audio/wav;base64," + "UklG" * 1_500_000
    server.on(GET, answer(prediction("succeeded", output=sound)))
    async with adapter(server.url, max_bytes=4_500_000) as predictions:
        assert (await predictions.get(ID)).output_url == sound
    async with adapter(server.url, max_bytes=500_000) as predictions:
        error = await failure(predictions.get(ID))
    assert outcome(error) == ("poll", *UNREADABLE)


async def test_the_parts_of_an_output_become_one_in_their_order(server):
    """None is dropped."""
    for name, pitch in (("1", 440), ("2", 880)):
        server.on(f"GET /{name}.wav", Reply(body=tone(pitch)))
    async with adapter(server.url, max_bytes=10**6) as predictions:
        whole = await predictions.download(f"{server.url}/1.wav {server.url}/2.wav")
    samples, rate = soundfile.read(BytesIO(whole))
    assert len(samples) / rate == pytest.approx(1.0, abs=0.1)
    halves = samples[: rate // 4], samples[-rate // 4 :]
    assert [np.argmax(np.abs(np.fft.rfft(half))) * 4 for half in halves] == [440, 880]


async def test_the_parts_of_an_output_share_its_limit(server):
    """Many small parts are as large as one large one."""
    server.on("GET /o.wav", Reply(body=b"RIFF" * 200))
    async with adapter(server.url, max_bytes=1500) as predictions:
        error = await failure(predictions.download(f"{server.url}/o.wav {server.url}/o.wav"))
    assert outcome(error) == ("download", *REFUSED)


# --- where an output may lie


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/o.wav",
        "https://127.0.0.1:{port}/o.wav",
        "http://localhost:{port}/o.wav",
        "http://[::ffff:127.0.0.1]:{port}/o.wav",
        "http://2130706433:{port}/o.wav",
        "http://user:pw@replicate.delivery:{port}/o.wav",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
@pytest.mark.parametrize(
    ("base", "hosts"),
    [("https://api.replicate.com", {"replicate.delivery"}), ("https://proxy.example.com", ())],
    ids=["real", "own"],
)
async def test_an_output_leads_nowhere_inside(server, base, hosts, url):
    """It is refused before a byte is sent, and the refusal says nothing of who is there."""
    async with adapter(base, output_hosts=hosts, seconds=1.0) as predictions:
        error = await failure(predictions.download(url.format(port=server.port)))
    assert server.connections == 0
    assert outcome(error) == ("download", *REFUSED)
    assert not re.search(r"\d", error.message)


async def test_an_output_with_credentials_in_its_address_is_a_named_failure(server, predictions):
    """They would go into logs, and to whoever answers."""
    error = await failure(predictions.download(f"http://user:pw@127.0.0.1:{server.port}/o.wav"))
    assert outcome(error) == ("download", *REFUSED)
    assert "credentials" in error.message
    assert "pw" not in error.message


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x.test/o.wav",
        "o.wav",
        "http:///o.wav",
        "http://host:port/o.wav",
        "data:audio/wav;base64,%%%",
        "data:audio/wav;base64",
        "data:," + "x" * 1001,
        "data:," + "x" * 5001,
    ],
)
async def test_an_address_of_no_use_is_refused(predictions, url):
    """Only http, https and a readable data URI within the limit are taken."""
    assert outcome(await failure(predictions.download(url))) == ("download", *REFUSED)


# --- the whole way


async def test_a_prediction_goes_from_template_to_sound_in_the_sandbox():
    """Template, creation, search, polling, cancellation and download fit together."""
    sandbox = await start_sandbox(behaviour=Behaviour(boot_seconds=0.1, predict_seconds=0.1))
    templates = HttpTemplates(sandbox.url, cache_seconds=0)
    try:
        async with adapter(sandbox.url, max_bytes=10_000_000) as predictions:
            template = await templates.fetch("voice-1")
            assert await templates.fetch("voice-1") == template
            speech = Speech(TEXT, template.transcript, template.audio_url)
            before = datetime.now(UTC)
            created = await predictions.create(speech, seconds_left=60)
            assert ids(await predictions.find(speech, since=before, until=datetime.now(UTC))) == [
                created.id
            ]
            seen = created
            while seen.state is PredictionState.RUNNING:
                await asyncio.sleep(0.05)
                seen = await predictions.get(created.id)
            await predictions.cancel(created.id)
            await predictions.cancel("a" * 26)
            info = record(await predictions.download(seen.output_url))
            assert info.duration > 1
            assert outcome(await failure(predictions.get("a" * 26))) == (
                "poll",
                "prediction_lost",
                Treatment.LOST,
            )
    finally:
        await templates.aclose()
        await sandbox.stop()


async def test_a_prediction_is_found_in_a_crowd_that_is_read_once():
    """Five thousand others were made in the time in which ours can have been, behind a proxy."""
    sandbox = await start_sandbox()
    try:
        async with adapter(sandbox.url) as predictions:
            before = datetime.now(UTC)
            created = await predictions.create(SPEECH, seconds_left=60)
            async with httpx.AsyncClient(
                base_url=f"{sandbox.url}/sandbox", trust_env=False
            ) as http:
                await http.post("/crowd", json={"predictions": 5000})
                await http.post("/faults", json={"route": "list", "fault": "other_host"})
                found = await predictions.find(
                    SPEECH, since=before, until=before + timedelta(seconds=32)
                )
                calls = (await http.get("/stats")).json()["calls"]
        assert ids(found) == [created.id]
        assert calls["list"] == 51
    finally:
        await sandbox.stop()


# --- the client


async def test_many_calls_at_once_share_one_client(server, predictions):
    """Sixteen tasks polling at the same time all get their answer."""
    server.on(GET, answer(prediction("processing")))
    seen = await asyncio.gather(*(predictions.get(ID) for _ in range(16)))
    assert {each.state for each in seen} == {PredictionState.RUNNING}


async def test_a_given_up_call_leaves_the_client_usable(server, predictions):
    """Cancelling one caller breaks nothing for the next."""
    server.on(GET, Hang(), answer(prediction("processing")))
    given_up = asyncio.create_task(predictions.get(ID))
    await until(lambda: server.requests, "it is asked")
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert (await predictions.get(ID)).state is PredictionState.RUNNING
