"""The template host's port, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.services.ports import free_port
from tests.services.scripted_http import Act, Drip, Hang, Reply, Reset, ScriptedHttp
from tts.domain.failures import StepError, Treatment
from tts.ports.speech import Template
from tts.templates import HttpTemplates

TRANSCRIPT = "GET /a/source_transcript.txt"
AUDIO = "GET /a/source_audio.mp3"
MP3 = b"ID3\x04" + b"\0" * 3000
TEXT = "这是参考声音。"
SOUND = Reply(206, MP3[:1024], {"Content-Type": "audio/mpeg", "Content-Range": "bytes 0-1023/3004"})
HOUR = 3600
SHORT_SECONDS = 1.0  # in which a request reaches a server of this process, whatever else runs


@pytest.fixture
async def server() -> AsyncIterator[ScriptedHttp]:
    async with ScriptedHttp() as server:
        server.on(TRANSCRIPT, Reply(body=TEXT.encode()))
        server.on(AUDIO, SOUND)
        yield server


@asynccontextmanager
async def adapter(url: str, **options: Any) -> AsyncIterator[HttpTemplates]:
    """The adapter under test, closed at the end."""
    templates = HttpTemplates(url, **{"cache_seconds": HOUR, "timeout": 5.0, **options})
    try:
        yield templates
    finally:
        await templates.aclose()


async def refusal(templates: HttpTemplates, template_id: str = "a") -> StepError:
    """The failure that a fetch ends with."""
    with pytest.raises(StepError) as caught:
        await templates.fetch(template_id)
    assert caught.value.step == "template"
    return caught.value


# --- what is fetched


async def test_a_template_is_its_transcript_and_the_address_of_its_audio(server):
    """The text comes without byte order mark and blanks, the audio is left where it lies."""
    server.on(TRANSCRIPT, Reply(body=b"\xef\xbb\xbf  " + TEXT.encode() + b"\r\n"))
    server.on(AUDIO, Reply(206, MP3[:9], {"ETag": '"v1"'}))
    async with adapter(server.url) as templates:
        assert await templates.fetch("a") == Template(
            template_id="a",
            transcript=TEXT,
            transcript_hash=hashlib.sha256(TEXT.encode()).hexdigest(),
            audio_url=f"{server.url}/a/source_audio.mp3",
            audio_etag='"v1"',
        )


async def test_only_the_head_of_the_audio_is_asked_for(server):
    """A look at the type needs no download, even where the host ignores ranges."""
    server.on(AUDIO, Reply(200, MP3 * 1000))
    async with adapter(server.url) as templates:
        await templates.fetch("a")
    assert server.asked(AUDIO)[0].headers["Range"] == "bytes=0-1023"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=MP3),
        Reply(body=b"\xff\xfb\x90\x64"),
        Reply(body=b"RIFF\x24\0\0\0WAVEfmt "),
        Reply(body=b"\0\0\0\0\xff\xfb", headers={"Content-Type": "audio/mpeg"}),
    ],
    ids=["ID3", "MPEG frame", "WAV", "by declaration"],
)
async def test_audio_is_known_by_its_first_bytes_or_its_type(server, reply):
    """Hosts differ in what they declare, and files in how they begin."""
    server.on(AUDIO, reply)
    async with adapter(server.url) as templates:
        assert (await templates.fetch("a")).transcript == TEXT


@pytest.mark.parametrize(
    "template_id", ["", "a/b", "..", "a?b", "a#", "a b", "声", "x" * 65, "a\n"]
)
async def test_an_id_that_could_mean_something_in_a_url_is_not_asked_for(server, template_id):
    """No client chooses the path that is fetched."""
    async with adapter(server.url) as templates:
        error = await refusal(templates, template_id)
    assert (error.code, error.treatment) == ("template_invalid", Treatment.PERMANENT)
    assert server.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "<|zh|>你好。",
        "<laughter>哈哈</laughter>",
        "[breath]嗯,好。",
        "[好]",
        "{好}",
        "好" * 1000,
        "a\tb\r\nc",
    ],
)
async def test_a_transcript_may_begin_with_what_else_begins_a_page(server, text):
    """The model's own marks, and brackets that people write."""
    server.on(TRANSCRIPT, Reply(body=text.encode()))
    async with adapter(server.url) as templates:
        assert (await templates.fetch("a")).transcript == text


# --- how it fails


PERMANENT: dict[str, tuple[str, Act, str]] = {
    "transcript 404": (TRANSCRIPT, Reply(404), "template_not_found"),
    "transcript 410": (TRANSCRIPT, Reply(410), "template_not_found"),
    "transcript 401": (TRANSCRIPT, Reply(401), "template_forbidden"),
    "transcript 403": (TRANSCRIPT, Reply(403), "template_forbidden"),
    "transcript 418": (TRANSCRIPT, Reply(418), "template_refused"),
    "transcript 304 unasked": (TRANSCRIPT, Reply(304), "template_refused"),
    "not UTF-8": (TRANSCRIPT, Reply(body="你好".encode("gbk")), "template_transcript"),
    "empty": (TRANSCRIPT, Reply(body=b"\xef\xbb\xbf \n"), "template_transcript"),
    "too large": (TRANSCRIPT, Reply(body=b"x" * 65537), "template_transcript"),
    "a part of the transcript": (TRANSCRIPT, Reply(206, b"abc"), "template_transcript"),
    "transcript compressed": (
        TRANSCRIPT,
        Reply(body=b"x", headers={"Content-Encoding": "gzip"}),
        "template_transcript",
    ),
    **{
        f"{kind} as transcript": (
            TRANSCRIPT,
            Reply(body=body, headers={"Content-Type": declared}),
            "template_transcript",
        )
        for kind, body, declared in (
            ("a page by type", b"Not found", "text/html; charset=utf-8"),
            ("a document by type", b"no", "application/json"),
            ("XML by type", b"no", "application/xml"),
            ("a page", b"\xef\xbb\xbf \n<!DOCTYPE html><html>", "text/plain"),
            ("a page without its type", b"<html><body>Not Found", "text/plain"),
            ("XML", b"<?xml version='1.0'?><Error>", "application/octet-stream"),
            ("XML without its head", b"<Error><Code>NoSuchKey</Code></Error>", "text/plain"),
            ("a document", b'{"code": 404, "message": "not found"}', "text/plain"),
            ("half a document", b'{ "code": 404, "mess', "text/plain"),
            ("a list", b"[1, 2]", "text/plain"),
            ("NUL", b"abc\0def", "text/plain"),
            ("control characters", b"\x1b[31mabc", "text/plain"),
            ("punctuation", "……。".encode(), "text/plain"),
            ("a book", "好".encode() * 1001, "text/plain"),
        )
    },
    "audio 404": (AUDIO, Reply(404), "template_not_found"),
    "audio compressed": (
        AUDIO,
        Reply(body=MP3, headers={"Content-Encoding": "gzip"}),
        "template_audio",
    ),
    "audio empty": (AUDIO, Reply(416), "template_refused"),
    "audio of no bytes": (
        AUDIO,
        Reply(headers={"Content-Type": "audio/mpeg"}),
        "template_audio",
    ),
    "a page as audio": (
        AUDIO,
        Reply(body=b"\n<!doctype html>", headers={"Content-Type": "audio/mpeg"}),
        "template_audio",
    ),
    "not audio": (AUDIO, Reply(body=b"PK\x03\x04"), "template_audio"),
    "audio too large, by range": (
        AUDIO,
        Reply(206, MP3[:9], {"Content-Range": "bytes 0-8/50000001"}),
        "template_audio",
    ),
    "audio too large": (
        AUDIO,
        Reply(200, MP3, {"Content-Length": "50000001"}),
        "template_audio",
    ),
}


@pytest.mark.parametrize(("route", "act", "code"), PERMANENT.values(), ids=PERMANENT)
async def test_what_no_repetition_mends_is_permanent_and_remembered(server, route, act, code):
    """The host is asked once, and not again by every task that follows within a minute."""
    server.on(route, act)
    async with adapter(server.url) as templates:
        errors = [await refusal(templates) for _ in range(2)]
    assert {(error.code, error.treatment) for error in errors} == {(code, Treatment.PERMANENT)}
    assert len(server.asked(route)) == 1


async def test_a_refusal_is_forgotten_after_a_minute(server, monkeypatch):
    """A template that was put there meanwhile is found."""
    monkeypatch.setattr("tts.templates.REMEMBER_REFUSAL_SECONDS", 0.0)
    server.on(TRANSCRIPT, Reply(404), Reply(body=TEXT.encode()))
    async with adapter(server.url) as templates:
        await refusal(templates)
        assert (await templates.fetch("a")).transcript == TEXT


TRANSIENT: dict[str, Act] = {
    "500": Reply(500),
    "503": Reply(503, headers={"Retry-After": "7"}),
    "429": Reply(429, headers={"Retry-After": "7"}),
    "reset": Reset(),
    "truncated": Reply(body=b"half", cut=2),
    "no reply": Hang(),
    "endless reply": Drip(),
}


@pytest.mark.parametrize("act", TRANSIENT.values(), ids=TRANSIENT)
@pytest.mark.parametrize("route", [TRANSCRIPT, AUDIO], ids=["transcript", "audio"])
async def test_what_passes_is_transient_and_tried_again(server, route, act):
    """The next task asks anew, and what the host said about when is passed on."""
    good = SOUND if route == AUDIO else Reply(body=TEXT.encode())
    # A GET whose connection breaks is made anew, once.
    server.on(route, act, *([act] if isinstance(act, Reset) else []), good)
    async with adapter(
        server.url, timeout=SHORT_SECONDS if isinstance(act, Hang | Drip) else 5.0
    ) as templates:
        error = await refusal(templates)
        assert (error.code, error.treatment) == ("template_unavailable", Treatment.TRANSIENT)
        assert error.retry_after == (7 if isinstance(act, Reply) and act.headers else None)
        assert (await templates.fetch("a")).transcript == TEXT


async def test_a_host_that_is_away_is_transient():
    """Nobody listens there now."""
    async with adapter(f"http://127.0.0.1:{free_port()}") as templates:
        assert (await refusal(templates)).treatment is Treatment.TRANSIENT


@pytest.mark.parametrize("route", [TRANSCRIPT, AUDIO], ids=["transcript", "audio"])
async def test_a_redirect_to_another_host_is_permanent_and_not_followed(server, route):
    """The template host cannot send us into our own network."""
    async with ScriptedHttp() as other:
        server.on(route, Reply(302, headers={"Location": f"{other.url}/a"}))
        async with adapter(server.url) as templates:
            error = await refusal(templates)
        assert (error.code, error.treatment) == ("template_redirect", Treatment.PERMANENT)
        assert other.requests == []


async def test_a_redirect_within_the_host_is_followed(server):
    """A host may move its own files."""
    server.on(TRANSCRIPT, Reply(301, headers={"Location": "/moved.txt"}))
    server.on("GET /moved.txt", Reply(body=TEXT.encode()))
    async with adapter(server.url) as templates:
        assert (await templates.fetch("a")).transcript == TEXT


# --- the cache


async def test_a_fresh_template_is_not_asked_for_again(server):
    """Sixteen tasks in a row with one voice cost the host two requests."""
    async with adapter(server.url) as templates:
        for _ in range(16):
            await templates.fetch("a")
    assert len(server.requests) == 2


async def test_many_at_once_share_one_look(server):
    """Sixteen tasks at the same time as well."""
    async with adapter(server.url, cache_seconds=0) as templates:
        await asyncio.gather(*(templates.fetch("a") for _ in range(16)))
    assert len(server.requests) == 2


async def test_one_who_gives_up_does_not_take_the_look_from_the_others(server):
    """A canceled task's fetch goes on for whoever else waits for it."""
    async with adapter(server.url) as templates:
        first = asyncio.create_task(templates.fetch("a"))
        second = asyncio.create_task(templates.fetch("a"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).transcript == TEXT
    assert len(server.requests) == 2


async def test_closing_ends_a_look_that_hangs(server):
    """A shutdown waits for no template host."""
    server.on(TRANSCRIPT, Hang())
    async with adapter(server.url, timeout=60) as templates:
        waiting = asyncio.create_task(templates.fetch("a"))
        while not server.requests:
            await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    ("given", "condition"),
    [
        ({"ETag": '"v1"', "Last-Modified": "Fri, 01 May 2026 00:00:00 GMT"}, "If-None-Match"),
        ({"Last-Modified": "Fri, 01 May 2026 00:00:00 GMT"}, "If-Modified-Since"),
    ],
)
async def test_a_stale_template_is_revalidated(server, given, condition):
    """A host that knows the version says that nothing changed, and sends nothing."""
    server.on(TRANSCRIPT, Reply(body=TEXT.encode(), headers=given), Reply(304))
    server.on(AUDIO, Reply(206, MP3[:1024], given), Reply(304))
    async with adapter(server.url, cache_seconds=0) as templates:
        before = await templates.fetch("a")
        assert await templates.fetch("a") == before
        assert await templates.fetch("a") == before
    value = given.get("ETag") or given["Last-Modified"]
    for route in (TRANSCRIPT, AUDIO):
        sent = [request.headers[condition] for request in server.asked(route)]
        assert sent == [None, value, value]


async def test_a_changed_template_replaces_the_stale_one(server):
    """A new recording is used as soon as the old one is no longer fresh."""
    server.on(TRANSCRIPT, Reply(body=b"old", headers={"ETag": "1"}), Reply(body=b"new"))
    async with adapter(server.url, cache_seconds=0) as templates:
        assert (await templates.fetch("a")).transcript == "old"
        assert (await templates.fetch("a")).transcript == "new"


async def test_the_cache_keeps_the_templates_used_last(server):
    """Its size is bounded, and the template that nobody used for longest goes."""
    for template_id in "bc":
        server.on(f"GET /{template_id}/source_transcript.txt", Reply(body=b"x"))
        server.on(f"GET /{template_id}/source_audio.mp3", SOUND)
    async with adapter(server.url, cache_size=2) as templates:
        for template_id in "abaca":
            await templates.fetch(template_id)
        assert len(server.asked(TRANSCRIPT)) == 1
        await templates.fetch("b")
    assert len(server.asked("GET /b/source_transcript.txt")) == 2
