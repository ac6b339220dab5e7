"""The audio store's port: a folder and a real S3 server keep the same promises."""

from __future__ import annotations

import asyncio
import os
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import numpy as np
import pytest
import soundfile
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from tests.services.ports import free_port
from tests.services.s3 import GUEST, GUEST_BUCKET, S3
from tests.services.scripted_http import Reply, ScriptedHttp
from tests.waiting import until
from tts.audio.folder import FolderAudio
from tts.audio.minio import SHORT_BYTES, MinioAudio
from tts.domain.failures import StepError, Treatment
from tts.ports.audio import AudioStore
from tts.ports.errors import Unavailable
from tts.sound.recording import record

NAMES = count(1)
ACCOUNT = {"access_key": "a", "secret_key": "s"}
AWAY_SECONDS = 12  # for three calls; minio-py's own pauses alone are 18


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


def _client(s3: S3, **account: str) -> Minio:
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key, **account}
    return Minio(s3.endpoint, **keys, secure=False, region="us-east-1")


def _stored(s3: S3, bucket: str, key: str) -> bytes | None:
    client = _client(s3)
    if key not in {each.object_name for each in client.list_objects(bucket)}:
        return None
    with client.get_object(bucket, key) as response:
        return response.read()


async def anonymously(url: str) -> httpx.Response:
    """The answer that a client without any account gets."""
    async with httpx.AsyncClient() as client:
        return await client.get(url)


async def opens(url: str) -> None:
    """Wait until everyone can read it: a bucket's policy is in force a moment after it was set."""

    async def is_open() -> bool:
        return (await anonymously(url)).status_code == 200

    await until(is_open, f"{url} opens")


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


@pytest.mark.parametrize(
    ("keep_days", "expected"), [(0, [("part-", 1)]), (7, [("part-", 1), ("audio-", 7)])]
)
async def test_a_bucket_that_we_make_forgets_what_is_old(s3, keep_days, expected):
    """The rules are there from the beginning: for parts, and for audio if it is told to."""
    bucket = bucket_name()
    async with minio(s3, bucket=bucket, keep_days=keep_days) as store:
        await store.ensure_bucket()
        await store.ensure_bucket()
    rules = _client(s3).get_bucket_lifecycle(bucket).rules
    assert [(rule.rule_filter.prefix, rule.expiration.days) for rule in rules] == expected


@pytest.mark.parametrize("keep_days", [0, 7])
async def test_a_folder_forgets_what_is_old(tmp_path, keep_days):
    """Parts after a day, when nobody plays them any more; audio when it is told to, else never."""
    root = tmp_path / "audio"
    audio = FolderAudio(root, "http://audio")
    for days, keys in {
        0: ["part-new.wav", "audio-new.wav"],
        8: ["part-old.wav", "audio-old.wav"],
    }.items():
        for key in keys:
            await audio.put(key, b"x", "audio/wav")
            then = time() - days * 86_500
            os.utime(audio.path(key), (then, then))
    seen = []
    later = FolderAudio(
        root, "http://audio", keep_days=keep_days, observe=lambda *figures: seen.append(figures)
    )
    await later.put_file("audio-newer.wav", audio.path("audio-new.wav"), "audio/wav")
    names = {path.name for path in root.iterdir()}
    kept = {"part-new.wav", "audio-new.wav", "audio-newer.wav"}
    assert names == (kept if keep_days else kept | {"audio-old.wav"})
    assert seen == [(len(names), len(names))]  # a byte each


async def test_what_was_put_plays_for_whoever_has_the_url(case):
    """A client fetches the URL with no account and gets the sound."""
    data = wav()
    await case.store.put("audio-1.wav", data, "audio/wav")
    response = await anonymously(case.store.url("audio-1.wav"))
    assert response.status_code == 200
    assert response.content == data
    assert record(response.content).duration == pytest.approx(0.5)
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
        await opens(store.url("0.wav"))
        for i in range(4):
            assert (await anonymously(store.url(f"{i}.wav"))).content == b"sound"


async def test_many_processes_can_make_the_bucket_at_once(s3):
    """Whoever comes second finds that it owns the bucket already."""
    async with minio(s3) as one, minio(s3, bucket=one._bucket) as two:
        await asyncio.gather(*(s.ensure_bucket() for s in (one, two) for _ in range(3)))
        await two.put("a.wav", b"x", "audio/wav")


async def test_a_bucket_that_somebody_else_made_is_not_opened(s3):
    """Who reads it is its maker's decision; that nobody can play its audio is said."""
    bucket = bucket_name()
    _client(s3).make_bucket(bucket)
    async with minio(s3, bucket=bucket) as store:
        await store.ensure_bucket()
        await store.put("a.wav", b"x", "audio/wav")
        assert (await anonymously(store.url("a.wav"))).status_code == 403
        assert [note for note in store.notes if bucket in note and "private" in note]


async def test_a_bucket_that_everyone_reads_is_named_and_not_closed(s3):
    """Signed URLs guard nothing there, and only its maker knows what else relies on it."""
    bucket = bucket_name()
    async with minio(s3, bucket=bucket) as store:
        await store.put("a.wav", b"x", "audio/wav")
        url = store.url("a.wav")
        await opens(url)
    async with minio(s3, bucket=bucket, presign_seconds=60) as store:
        await store.ensure_bucket()
        assert [note for note in store.notes if bucket in note and "Everyone can read" in note]
        assert (await anonymously(url)).status_code == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [({}, 200), ({"presign_seconds": 60}, 403), ({"knows_readers": False}, 403)],
)
async def test_a_bucket_that_we_make_is_open_only_if_that_is_meant(s3, options, status):
    """Nobody without an account reads it where URLs are signed, or nobody said how they are."""
    async with minio(s3, **options) as store:
        await store.put("a.wav", b"x", "audio/wav")
        await store.ensure_bucket()
        plain = f"{s3.url}/{store._bucket}/a.wav"
        assert (await anonymously(plain)).status_code == status
        assert store.notes == ()


async def test_a_missing_bucket_is_not_made_by_who_does_not_know_for_whom(s3):
    """It says so, and is content as soon as another has made it."""
    async with minio(s3, knows_readers=False) as store:
        with pytest.raises(StepError, match="NoSuchBucket"):
            await store.ensure_bucket()
        assert not _client(s3).bucket_exists(store._bucket)
        _client(s3).make_bucket(store._bucket)
        await store.ensure_bucket()


async def test_looking_at_a_bucket_leaves_nothing_there(s3):
    """What was stored to see whether that can be done is removed."""
    async with minio(s3) as store:
        await store.ensure_bucket()
        assert list(_client(s3).list_objects(store._bucket)) == []


def rule_of_others(name: str, *elements: str) -> str:
    """A lifecycle rule as XML."""
    return f"<Rule><ID>{name}</ID><Status>Enabled</Status>{''.join(elements)}</Rule>"


IN_3_DAYS = "<Expiration><Days>3</Days></Expiration>"
FOREIGN = [
    rule_of_others("old", "<Prefix>logs/</Prefix>", IN_3_DAYS),
    rule_of_others(
        "size", "<Filter><ObjectSizeLessThan>5</ObjectSizeLessThan></Filter>", IN_3_DAYS
    ),
    rule_of_others(
        "twice",
        "<Filter><Prefix>x</Prefix></Filter>",
        "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>",
        "<Transition><Days>90</Days><StorageClass>GLACIER</StorageClass></Transition>",
    ),
    rule_of_others(
        "vendor", "<Filter/>", "<DelMarkerExpiration><Days>1</Days></DelMarkerExpiration>"
    ),
]
OURS = rule_of_others("mine", "<Filter><Prefix>part-</Prefix></Filter>", IN_3_DAYS)


def foreign_bucket(server: ScriptedHttp, *rules: str) -> None:
    """A bucket ``foreign`` in which objects can be stored, and which has lifecycle rules."""
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    document = f'<LifecycleConfiguration xmlns="{xmlns}">{"".join(rules)}</LifecycleConfiguration>'
    server.on("GET /foreign", Reply(200, document.encode(), {"Content-Type": "application/xml"}))
    server.on("PUT /foreign/*", Reply(200, headers={"ETag": '"e"'}))
    server.on("GET /foreign/*", error(403, "AccessDenied"))
    server.on("DELETE /foreign/*", Reply(204))


@pytest.mark.parametrize("rules", [[rule] for rule in FOREIGN] + [FOREIGN], ids=range(5))
async def test_rules_of_others_stay_as_they_are(s3, caplog, rules):
    """Nothing is written but objects; that our rule is missing is one line in the log."""
    async with ScriptedHttp() as server:
        foreign_bucket(server, *rules)
        host = server.url.removeprefix("http://")
        async with minio(s3, endpoint=host, bucket="foreign", presign_seconds=60) as store:
            await store.ensure_bucket()
            await store.put("a.wav", b"x", "audio/wav")
        written = [each for each in server.requests if each.method not in {"GET", "HEAD"}]
    assert [each for each in written if not each.target.startswith("/foreign/")] == []
    queries = [urlsplit(each.target).query for each in written]
    assert [query for query in queries if query and not query.startswith("X-Amz-")] == []
    assert len([record for record in caplog.records if "part-" in record.message]) == 1


async def test_a_rule_for_parts_that_an_operator_added_is_seen(s3, caplog):
    """Beside others that no client knows whole, and under any name."""
    async with ScriptedHttp() as server:
        foreign_bucket(server, *FOREIGN, OURS)
        host = server.url.removeprefix("http://")
        async with minio(s3, endpoint=host, bucket="foreign", presign_seconds=60) as store:
            await store.ensure_bucket()
        assert caplog.records == []


async def test_a_real_bucket_of_others_keeps_its_rules(s3):
    """The server's own words about it are the same before and after."""
    bucket = bucket_name()
    client = _client(s3)
    client.make_bucket(bucket)
    rule = Rule(ENABLED, rule_filter=Filter(prefix="x"), rule_id="x", expiration=Expiration(days=9))
    client.set_bucket_lifecycle(bucket, LifecycleConfig([rule]))
    before = client._execute("GET", bucket, query_params={"lifecycle": ""}).data
    async with minio(s3, bucket=bucket) as store:
        await store.ensure_bucket()
    assert client._execute("GET", bucket, query_params={"lifecycle": ""}).data == before


async def test_a_key_for_the_objects_alone_is_enough(s3, caplog, tmp_path):
    """It may see no list and change no bucket; it stores, reads, removes, signs, and is healthy."""
    if not _client(s3).bucket_exists(GUEST_BUCKET):
        _client(s3).make_bucket(GUEST_BUCKET)
    with pytest.raises(S3Error, match="AccessDenied"):
        list(_client(s3, **GUEST).list_objects(GUEST_BUCKET))
    async with minio(s3, **GUEST, bucket=GUEST_BUCKET, presign_seconds=60) as store:
        await store.ready()
        await store.ensure_bucket()
        await store.put("a.wav", b"sound", "audio/wav")
        await store.ready()
        assert await store.get("a.wav") == b"sound"
        assert (await anonymously(store.url("a.wav"))).content == b"sound"
        large = tmp_path / "large"
        large.write_bytes(bytes(12_000_000))  # in several pieces
        await store.put_file("a.wav", large, "audio/wav")
        assert len(await store.get("a.wav")) == 12_000_000
        await store.delete("a.wav")
        assert _stored(s3, GUEST_BUCKET, "a.wav") is None
        assert store.notes == ()
    assert len(caplog.records) == 1  # the rule that it cannot see


async def test_a_key_that_may_only_store_is_healthy_while_it_can(s3):
    """A refused look says nothing; a refused object says that every task will fail."""
    async with ScriptedHttp() as server:
        for method in ("GET", "DELETE"):
            server.on(f"{method} /bucket/*", error(403, "AccessDenied"))
        server.on("PUT /bucket/*", Reply(200, headers={"ETag": '"e"'}), error(403, "AccessDenied"))
        host = server.url.removeprefix("http://")
        async with minio(s3, endpoint=host, bucket="bucket") as store:
            await store.ready()
            await store.put("a.wav", b"x", "audio/wav")
            await store.ready()
            with pytest.raises(StepError):
                await store.put("a.wav", b"x", "audio/wav")
            with pytest.raises(Unavailable, match="AccessDenied"):
                await store.ready()
            server.on("PUT /bucket/*", Reply(200, headers={"ETag": '"e"'}))
            await store.ready()


async def test_a_key_that_may_make_no_bucket_is_told_that_there_is_none(s3):
    """The bucket's name in the settings is wrong, or somebody has to make it."""
    async with ScriptedHttp() as server:
        server.on("PUT /bucket/*", error(404, "NoSuchBucket"))
        server.on("PUT /bucket", error(403, "AccessDenied"))
        host = server.url.removeprefix("http://")
        async with minio(s3, endpoint=host, bucket="bucket") as store:
            with pytest.raises(StepError, match="NoSuchBucket"):
                await store.put("a.wav", b"x", "audio/wav")


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
    """Minio-py by itself would ask six times, with ever longer pauses."""
    store = MinioAudio(f"127.0.0.1:{free_port()}", **ACCOUNT, bucket="some-bucket")
    started = monotonic()
    for use in (store.put("a.wav", b"x", "audio/wav"), store.delete("a.wav")):
        with pytest.raises(StepError) as caught:
            await use
        assert caught.value.code == "audio_unavailable"
        assert caught.value.treatment is Treatment.TRANSIENT
    with pytest.raises(Unavailable):
        await store.ready()
    assert monotonic() - started < AWAY_SECONDS
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

            async def stored() -> bool:
                try:
                    await store.put("b.wav", b"after", "audio/wav")
                except StepError:
                    return False
                return True

            await until(stored, "it takes audio again")
            await store.ready()
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
        assert len(server.asked(route)) <= 3
        await store.aclose()


@pytest.mark.parametrize(("size", "by_thread"), [(SHORT_BYTES, False), (SHORT_BYTES + 1, True)])
async def test_short_audio_needs_no_thread(s3, monkeypatch, size, by_thread):
    """What is longer would hold up everything else while it is sent."""
    put, calls = Minio.put_object, []
    monkeypatch.setattr(Minio, "put_object", lambda *a, **k: (calls.append(a), put(*a, **k)))
    data = os.urandom(size)
    async with minio(s3) as store:
        await store.ensure_bucket()
        calls.clear()
        await store.put("a.wav", data, "audio/wav")
        assert bool(calls) == by_thread
        reply = await anonymously(store.url("a.wav"))
    assert (reply.content, reply.headers["content-type"]) == (data, "audio/wav")


async def test_a_server_can_tell_that_short_audio_was_damaged_on_its_way():
    """And it is stored by whoever owns the bucket, for a minute at most."""
    async with ScriptedHttp() as server:
        server.on("PUT /some-bucket/a.wav", Reply(200))
        store = MinioAudio(server.url.removeprefix("http://"), **ACCOUNT, bucket="some-bucket")
        await store.put("a.wav", b"x", "audio/wav")
        await store.aclose()
    (request,) = server.requests
    assert b64decode(request.headers["Content-MD5"]) == md5(b"x").digest()  # noqa: S324
    assert "X-Amz-Expires=60" in request.target


async def test_a_policy_against_signed_addresses_costs_one_refusal():
    """Then nothing is sent twice any more."""
    async with ScriptedHttp() as server:
        server.on("PUT /some-bucket/a.wav", error(403, "AccessDenied"), Reply(200))
        store = MinioAudio(server.url.removeprefix("http://"), **ACCOUNT, bucket="some-bucket")
        for _ in range(3):
            await store.put("a.wav", b"x", "audio/wav")
        await store.aclose()
    signed = ["X-Amz-Expires" in request.target for request in server.requests]
    assert signed == [True, False, False, False]


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
