"""The audio store's port: a folder and a real S3 server keep the same promises."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
import soundfile
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from tests.services.ports import free_port
from tests.services.s3 import S3
from tests.services.scripted_http import Reply, ScriptedHttp
from tts.audio.folder import FolderAudio
from tts.audio.minio import MinioAudio
from tts.domain.failures import StepError, Treatment
from tts.ports.audio import AudioStore
from tts.ports.errors import Unavailable
from tts.sound.inspect import inspect

NAMES = count(1)
ACCOUNT = {"access_key": "a", "secret_key": "s"}


def wav(seconds: float = 0.5) -> bytes:
    """Sound as the model makes it: float samples, which the standard library cannot read."""
    file = BytesIO()
    samples = np.sin(np.arange(int(24_000 * seconds)) / 10).astype(np.float32)
    soundfile.write(file, samples, 24_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.stop()


def bucket_name() -> str:
    """A bucket that no other test has."""
    return f"bucket-{next(NAMES)}"


@asynccontextmanager
async def minio(s3: S3, **options: Any) -> AsyncIterator[MinioAudio]:
    """A bucket's store, closed at the end."""
    options = {
        "endpoint": s3.endpoint,
        "access_key": s3.access_key,
        "secret_key": s3.secret_key,
        "bucket": bucket_name(),
        **options,
    }
    store = MinioAudio(options.pop("endpoint"), **options)
    try:
        yield store
    finally:
        await store.aclose()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@asynccontextmanager
async def folder(tmp_path: Path) -> AsyncIterator[FolderAudio]:
    """A folder's store behind a plain file server, which stands in for the gateway."""
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield FolderAudio(tmp_path / "audio", f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Case:
    """A store and how to look at what it holds."""

    store: AudioStore
    stored: Callable[[str], bytes | None]


@pytest.fixture(params=["folder", "minio", "minio, presigned"])
async def case(request, tmp_path, s3) -> AsyncIterator[Case]:
    if request.param == "folder":
        async with folder(tmp_path) as store:

            def stored(key: str) -> bytes | None:
                path = tmp_path / "audio" / key
                return path.read_bytes() if path.exists() else None

            yield Case(store, stored)
        return
    bucket = bucket_name()
    seconds = 60 if "presigned" in request.param else 0
    async with minio(s3, bucket=bucket, presign_seconds=seconds) as store:
        await store.ensure_bucket()
        yield Case(store, partial(_stored, s3, bucket))


def _stored(s3: S3, bucket: str, key: str) -> bytes | None:
    client = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    if key not in {each.object_name for each in client.list_objects(bucket)}:
        return None
    with client.get_object(bucket, key) as response:
        return response.read()


async def anonymously(url: str) -> httpx.Response:
    """The answer that a client without any account gets."""
    async with httpx.AsyncClient() as client:
        return await client.get(url)


# --- what both promise


async def test_a_large_file_is_stored_whole(case, tmp_path):
    """More than one piece of an upload, byte for byte, and it can be read again."""
    data = bytes(range(256)) * 50_000  # 12.8 MB
    path = tmp_path / "large"
    path.write_bytes(data)
    await case.store.put_file("audio-large.wav", path, "audio/wav")
    assert await case.store.get("audio-large.wav") == data
    assert (await anonymously(case.store.url("audio-large.wav"))).content == data


async def test_a_part_that_is_gone_is_reported_as_such(case):
    """Its segment can be fetched or spoken again."""
    with pytest.raises(StepError) as caught:
        await case.store.get("part-of-nothing.wav")
    assert (caught.value.code, caught.value.step) == ("part_missing", "audio")
    assert caught.value.treatment is Treatment.LOST


async def test_a_bucket_forgets_parts_after_a_day_and_keeps_rules_of_others(s3):
    """The rule is added to what is there, once."""
    bucket = bucket_name()
    client = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    client.make_bucket(bucket)
    other = Rule(
        ENABLED, rule_filter=Filter(prefix="x"), rule_id="x", expiration=Expiration(days=9)
    )
    client.set_bucket_lifecycle(bucket, LifecycleConfig([other]))
    async with minio(s3, bucket=bucket) as store:
        await store.ensure_bucket()
        await store.ensure_bucket()
    rules = client.get_bucket_lifecycle(bucket).rules
    assert {rule.rule_filter.prefix: rule.expiration.days for rule in rules} == {"x": 9, "part-": 1}
    assert len(rules) == 2


async def test_a_folder_forgets_parts_after_a_day(tmp_path):
    """Those that somebody may still be playing stay."""
    audio = FolderAudio(tmp_path / "audio", "http://audio")
    for key in ("part-old.wav", "part-new.wav", "audio-old.wav"):
        await audio.put(key, b"x", "audio/wav")
    for key in ("part-old.wav", "audio-old.wav"):
        long_ago = time() - 86_500
        os.utime(audio.path(key), (long_ago, long_ago))
    await audio.put_file("audio-new.wav", audio.path("audio-old.wav"), "audio/wav")
    names = {path.name for path in (tmp_path / "audio").iterdir()}
    assert names == {"part-new.wav", "audio-old.wav", "audio-new.wav"}


async def test_what_was_put_plays_for_whoever_has_the_url(case):
    """A client fetches the URL with no account and gets the sound."""
    data = wav()
    await case.store.put("audio-1.wav", data, "audio/wav")
    response = await anonymously(case.store.url("audio-1.wav"))
    assert response.status_code == 200
    assert response.content == data
    assert inspect(response.content).duration == pytest.approx(0.5)
    assert response.headers["content-type"] in {"audio/wav", "audio/x-wav"}


async def test_a_second_put_takes_the_place_of_the_first(case):
    """A step that is repeated after a crash does no harm."""
    await case.store.put("audio-1.wav", b"first, and longer", "audio/wav")
    await case.store.put("audio-1.wav", b"second", "audio/wav")
    assert case.stored("audio-1.wav") == b"second"


async def test_a_delete_removes_and_can_be_repeated(case):
    """One that is not there is fine."""
    await case.store.put("audio-1.wav", b"x", "audio/wav")
    for _ in range(2):
        await case.store.delete("audio-1.wav")
        assert case.stored("audio-1.wav") is None


async def test_many_at_once_are_all_stored(case):
    """Each of 24 concurrent puts, of sizes to several megabytes, arrives whole."""
    objects = {f"audio-{i}.wav": bytes([i]) * (6_000_000 if i == 5 else i) for i in range(1, 25)}
    await asyncio.gather(*(case.store.put(k, data, "audio/wav") for k, data in objects.items()))
    assert {key: case.stored(key) for key in objects} == objects


# --- the folder


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "/etc/passwd", ".x", "a\0", "声"])
async def test_a_key_cannot_leave_the_folder(tmp_path, key):
    """A key is a plain file name or refused."""
    store = FolderAudio(tmp_path, "http://x.test")
    for use in (store.path, store.url):
        with pytest.raises(ValueError, match="object key"):
            use(key)
    with pytest.raises(ValueError, match="object key"):
        await store.put(key, b"x", "audio/wav")
    with pytest.raises(ValueError, match="object key"):
        await store.delete(key)


async def test_a_put_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    """There is the whole old file or the whole new one; a full disk needs an operator."""
    store = FolderAudio(tmp_path, "http://x.test")
    await store.put("a.wav", b"old", "audio/wav")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StepError) as caught:
        await store.put("a.wav", b"new", "audio/wav")
    assert caught.value.code == "audio_refused"
    assert caught.value.step == "audio"
    assert caught.value.treatment is Treatment.CONFIGURATION
    assert [each.name for each in tmp_path.iterdir()] == ["a.wav"]
    assert store.path("a.wav").read_bytes() == b"old"


async def test_a_file_can_be_read_by_the_server_in_front(tmp_path):
    """A proxy under another account may serve the folder: its files are as open as any."""
    store = FolderAudio(tmp_path, "http://x.test")
    await store.put("a.wav", b"x", "audio/wav")
    plain = tmp_path / "plain"
    plain.touch()
    assert store.path("a.wav").stat().st_mode == plain.stat().st_mode


# --- the bucket


async def test_a_missing_bucket_is_made_by_the_first_put(s3):
    """The store mends what a fresh server lacks, and what it made plays."""
    async with minio(s3) as store:
        puts = (store.put(f"{i}.wav", b"sound", "audio/wav") for i in range(4))
        await asyncio.gather(*puts)
        for i in range(4):
            assert (await anonymously(store.url(f"{i}.wav"))).content == b"sound"


async def test_many_processes_can_make_the_bucket_at_once(s3):
    """Whoever comes second finds that it owns the bucket already."""
    async with minio(s3) as one, minio(s3, bucket=one._bucket) as two:
        await asyncio.gather(*(s.ensure_bucket() for s in (one, two) for _ in range(3)))
        await two.put("a.wav", b"x", "audio/wav")


async def test_a_bucket_that_somebody_else_made_is_not_opened(s3):
    """Who reads it is its maker's decision."""
    bucket = bucket_name()
    client = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    client.make_bucket(bucket)
    async with minio(s3, bucket=bucket) as store:
        await store.ensure_bucket()
        await store.put("a.wav", b"x", "audio/wav")
        assert (await anonymously(store.url("a.wav"))).status_code == 403


async def test_a_presigned_bucket_opens_for_nothing_but_the_signature(s3):
    """Without its query the URL is worth nothing."""
    async with minio(s3, presign_seconds=60) as store:
        await store.put("a.wav", b"x", "audio/wav")
        url = store.url("a.wav")
        assert (await anonymously(url)).status_code == 200
        assert (await anonymously(url.partition("?")[0])).status_code == 403


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ("cdn.test:9000", "http://cdn.test:9000/b/a%20b.wav"),
        ("https://cdn.test", "https://cdn.test/b/a%20b.wav"),
        ("https://cdn.test/minio/", "https://cdn.test/minio/b/a%20b.wav"),
        ("", "http://127.0.0.1:9/b/a%20b.wav"),
    ],
)
async def test_a_public_url_begins_with_the_public_endpoint(public, expected):
    """Clients reach the bucket by another name than we do; ours is asked for nothing."""
    store = MinioAudio("127.0.0.1:9", **ACCOUNT, bucket="b", public_endpoint=public)
    assert store.url("a b.wav") == expected
    await store.aclose()


async def test_a_presigned_url_is_signed_for_the_public_endpoint(s3):
    """The host is part of the signature; here the server has two names."""
    port = s3.endpoint.rpartition(":")[2]
    async with minio(s3, public_endpoint=f"http://localhost:{port}", presign_seconds=60) as store:
        await store.put("a.wav", b"x", "audio/wav")
        url = store.url("a.wav")
        assert url.startswith(f"http://localhost:{port}/")
        assert (await anonymously(url)).content == b"x"


async def test_presigning_refuses_a_path_prefix():
    """Such a signature could not be right."""
    with pytest.raises(ValueError, match="path prefix"):
        MinioAudio(
            "h:1",
            **ACCOUNT,
            bucket="b",
            public_endpoint="https://cdn.test/minio",
            presign_seconds=60,
        )


@pytest.mark.parametrize("wrong", [{"secret_key": "wrong"}, {"access_key": "nobody"}])
async def test_wrong_keys_need_an_operator(s3, wrong):
    """No repetition with the same keys can help, and readiness says so too."""
    async with minio(s3, **wrong) as store:
        with pytest.raises(StepError) as caught:
            await store.put("a.wav", b"x", "audio/wav")
        assert caught.value.step == "audio"
        assert caught.value.code == "audio_refused"
        assert caught.value.treatment is Treatment.CONFIGURATION
        with pytest.raises(Unavailable):
            await store.ready()


async def test_a_server_that_is_away_is_transient_within_seconds():
    """The default of minio-py would wait for minutes."""
    store = MinioAudio(f"127.0.0.1:{free_port()}", **ACCOUNT, bucket="some-bucket")
    started = monotonic()
    for use in (store.put("a.wav", b"x", "audio/wav"), store.delete("a.wav")):
        with pytest.raises(StepError) as caught:
            await use
        assert caught.value.code == "audio_unavailable"
        assert caught.value.treatment is Treatment.TRANSIENT
    with pytest.raises(Unavailable):
        await store.ready()
    assert monotonic() - started < 5
    await store.aclose()


async def test_an_outage_is_over_when_the_server_is_back():
    """The same store object works again without a restart."""
    server = await asyncio.to_thread(S3)
    try:
        async with minio(server) as store:
            await store.put("a.wav", b"before", "audio/wav")
            await asyncio.to_thread(server.halt)
            with pytest.raises(StepError):
                await store.put("b.wav", b"x", "audio/wav")
            await asyncio.to_thread(server.start)
            await store.ready()
            await store.put("b.wav", b"after", "audio/wav")
            assert (await anonymously(store.url("a.wav"))).content == b"before"
    finally:
        await asyncio.to_thread(server.stop)


def error(status: int, code: str) -> Reply:
    """An error as S3 writes it."""
    xml = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    return Reply(status, xml, {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    ("reply", "code", "treatment"),
    [
        (error(503, "SlowDown"), "audio_unavailable", Treatment.TRANSIENT),
        (error(500, "InternalError"), "audio_unavailable", Treatment.TRANSIENT),
        (error(429, "TooManyRequests"), "audio_unavailable", Treatment.TRANSIENT),
        (error(400, "RequestTimeout"), "audio_unavailable", Treatment.TRANSIENT),
        (Reply(502, b"<html>"), "audio_unavailable", Treatment.TRANSIENT),
        (Reply(507, b"full"), "audio_unavailable", Treatment.TRANSIENT),
        (error(403, "AccessDenied"), "audio_refused", Treatment.CONFIGURATION),
        (error(403, "RequestTimeTooSkewed"), "audio_refused", Treatment.CONFIGURATION),
        (Reply(404, b"<html>"), "audio_refused", Treatment.CONFIGURATION),
        (error(400, "EntityTooLarge"), "audio_rejected", Treatment.PERMANENT),
    ],
)
async def test_each_refusal_has_its_treatment(reply, code, treatment):
    """What passes is repeated, what an operator has to mend waits, and the rest is final."""
    async with ScriptedHttp() as server:
        route = f"PUT /b-{uuid4()}/a.wav"
        server.on(route, reply)
        store = MinioAudio(
            server.url.removeprefix("http://"),
            **ACCOUNT,
            bucket=route.split("/")[1],
        )
        with pytest.raises(StepError) as caught:
            await store.put("a.wav", b"x", "audio/wav")
        assert (caught.value.code, caught.value.treatment) == (code, treatment)
        assert len(server.asked(route)) <= 2
        await store.aclose()


async def test_a_bucket_that_stays_missing_is_made_once(s3):
    """A server that forgets the bucket at once is not asked for ever."""
    async with ScriptedHttp() as server:
        server.on("PUT /some-bucket/a.wav", error(404, "NoSuchBucket"))
        server.on("HEAD /some-bucket", Reply(404))
        server.on("PUT /some-bucket", Reply(200))
        host = server.url.removeprefix("http://")
        async with minio(s3, endpoint=host, bucket="some-bucket", presign_seconds=60) as store:
            with pytest.raises(StepError) as caught:
                await store.put("a.wav", b"x", "audio/wav")
        assert caught.value.treatment is Treatment.TRANSIENT
        assert len(server.asked("PUT /some-bucket")) == 1


# --- what audio is


@pytest.mark.parametrize(
    ("format_", "content_type"),
    [("WAV", "audio/wav"), ("MP3", "audio/mpeg"), ("OGG", "audio/ogg"), ("FLAC", "audio/flac")],
)
def test_audio_says_what_it_is(format_, content_type):
    """Duration, rate, channels and type are read from the data, not from a name."""
    file = BytesIO()
    soundfile.write(file, np.zeros((16_000, 2), dtype=np.float32), 16_000, format=format_)
    info = inspect(file.getvalue())
    assert info.duration == pytest.approx(1.0, abs=0.1)
    assert (info.sample_rate, info.channels, info.content_type) == (16_000, 2, content_type)


@pytest.mark.parametrize(
    "data", [b"", b"<html>not found</html>", b"RIFF", wav()[:40], wav(0)], ids=range(5)
)
def test_what_holds_no_sound_is_not_audio(data):
    """A page, a stump or an empty file is never stored as somebody's speech."""
    with pytest.raises(StepError) as caught:
        inspect(data)
    assert caught.value.code == "not_audio"
    assert caught.value.step == "download"
    assert caught.value.treatment is Treatment.PERMANENT
