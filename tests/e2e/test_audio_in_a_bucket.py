"""``tts up`` with its audio in a bucket: who can hear it, and for how long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from uuid import uuid4

import httpx
import pytest
from minio import Minio

from gateway.access import keys
from gateway.access.roles import Role
from tests.documents import blocks, text
from tests.services.s3 import GUEST, GUEST_BUCKET, S3
from tests.services.tts import Up
from tests.waiting import wait_until
from tts.client import Client
from tts.config import Settings
from tts.domain.naming import PART_PREFIX, PARTS_KEPT_DAYS

LONG = "春天来了，花开得很好看。" * 12  # several parts


class Site:
    """The service with a bucket of its own, and an app with a key if keys are asked for."""

    def __init__(self, folder, s3: S3, bucket: str, *, with_keys: bool, **env: str) -> None:
        key = None
        if with_keys:
            file = folder / "keys.json"
            _, key = keys.add(file, owner="shop", role=Role.APP, expires=None)
            env["TTS_API_KEYS_FILE"] = str(file)
        self.up = Up(folder, **{**s3.settings, "MINIO_BUCKET": bucket, **env})
        self.client = Client(self.up.url, api_key=key, trust_env=False)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def notes(self) -> list[str]:
        """What the service has to say although it is healthy."""
        return httpx.get(f"{self.up.url}/health", trust_env=False).json()["data"].get("notes", [])

    def audio_urls(self, task_id: str) -> list[str]:
        """Every URL of audio in the task, in its timeline and in its stream from the start."""
        where = f"{self.up.url}/api/tts/task/{task_id}"
        with httpx.Client(headers=self._headers, trust_env=False) as http:
            task, events = (http.get(url).json()["data"] for url in (where, f"{where}/events"))
        urls = [task["audioUrl"], *task.get("partialAudioUrls", [])]
        for update in events["events"]:
            urls += [update[name] for name in ("audioUrl", "partialAudioUrl") if name in update]
        for update in self.client.events(task_id):
            urls += [url for url in (update.audio_url, update.partial_audio_url) if url]
        return urls

    def erase(self, task_id: str) -> httpx.Response:
        """Have text and audio removed."""
        url = f"{self.up.url}/api/tts/task/{task_id}"
        return httpx.delete(url, headers=self._headers, trust_env=False)

    def close(self) -> None:
        """Stop the service."""
        self.client.close()
        self.up.stop()


@pytest.fixture
def start(s3, tmp_path) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:

        def start(bucket: str, *, with_keys: bool = True, **env: str) -> Site:
            site = Site(tmp_path, s3, bucket, with_keys=with_keys, **env)
            stack.callback(site.close)
            return site

        yield start


@pytest.fixture
def bucket() -> str:
    return f"bucket-{uuid4()}"


def status(url: str) -> int:
    """What somebody without an account gets."""
    return httpx.get(url, trust_env=False).status_code


def signed_at(url: str) -> str:
    """When it was signed, to the second."""
    return httpx.URL(url).params["X-Amz-Date"]


def unsigned(url: str) -> str:
    return url.partition("?")[0]


def test_with_keys_audio_is_signed_for_and_the_bucket_is_private(start, bucket):
    """Nothing has to be set for that; and a name of an object cannot be told from the request."""
    site = start(bucket)
    task_id = site.client.generate("template1", "你好", idempotency_key="k").task_id
    list(site.client.events(task_id))
    url = site.audio_urls(task_id)[0]
    assert "X-Amz-Expires=3600" in url
    assert (status(url), status(unsigned(url))) == (200, 403)
    assert not unsigned(url).endswith(f"audio-{task_id}.wav")
    wait_until(lambda: site.notes() == [], "health has nothing to note")


def test_a_url_is_signed_when_it_is_sent(start, bucket):
    """So a stream that is resumed days later brings fresh ones, of the parts too."""
    site = start(bucket, MINIO_PRESIGN_SECONDS="600")
    task_id = site.client.generate("template1", LONG).task_id
    list(site.client.events(task_id))
    before = site.audio_urls(task_id)
    assert len(before) > 6  # the whole and the parts, three times

    def all_are_fresh() -> bool:
        return min(map(signed_at, site.audio_urls(task_id))) > max(map(signed_at, before))

    wait_until(all_are_fresh, "every URL is signed anew")
    assert {status(url) for url in site.audio_urls(task_id)} == {200}
    assert {httpx.URL(url).params["X-Amz-Expires"] for url in before} == {"600"}


def test_without_keys_or_by_a_word_audio_is_public_for_good(start, bucket):
    """The original's plain URLs; where there are keys, the log says what that means."""
    site = start(bucket, MINIO_PRESIGN_SECONDS="0")
    task_id = site.client.generate("template1", "你好").task_id
    list(site.client.events(task_id))
    url = site.audio_urls(task_id)[0]
    assert (unsigned(url), status(url)) == (url, 200)
    assert "audio is public" in site.up.process.log


def test_a_key_for_the_objects_alone_speaks_and_erases(s3, start):
    """As README's policy has it: no list, no bucket's settings; and health is content with it."""
    minio = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    if not minio.bucket_exists(GUEST_BUCKET):
        minio.make_bucket(GUEST_BUCKET)
    account = {f"MINIO_{name.upper()}": value for name, value in GUEST.items()}
    site = start(GUEST_BUCKET, **account)
    task_id = site.client.generate("template1", LONG).task_id
    list(site.client.events(task_id))
    urls = site.audio_urls(task_id)
    assert {status(url) for url in urls} == {200}
    health = httpx.get(f"{site.up.url}/health", trust_env=False)
    assert (health.status_code, health.json()["data"]["parts"]["audio"]) == (200, "ok")
    assert site.erase(task_id).status_code == 200
    assert {status(url) for url in urls} <= {403, 404}


def test_the_policy_in_the_readme_is_for_the_default_bucket():
    """It can be taken as it stands there."""
    documents = [json.loads(block) for block in blocks(text("README.md"), "json")[1:]]
    (policy,) = (document for document in documents if "Statement" in document)
    (statement,) = policy["Statement"]
    assert statement["Resource"] == [f"arn:aws:s3:::{Settings(_env_file=None).minio_bucket}/*"]
    assert {"s3:PutObject", "s3:GetObject", "s3:DeleteObject"} < set(statement["Action"])
    (rule,) = (document for document in documents if "Filter" in document)
    assert rule["Filter"]["Prefix"] == PART_PREFIX
    assert rule["Expiration"]["Days"] == PARTS_KEPT_DAYS


def test_a_bucket_that_is_open_to_all_is_named_at_the_start_and_in_health(s3, start, bucket):
    """Keys guard nothing there, and it stays open until its maker closes it."""
    minio = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    minio.make_bucket(bucket)
    allow = '"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"]'
    resource = f'"Resource":["arn:aws:s3:::{bucket}/*"]'
    minio.set_bucket_policy(
        bucket, f'{{"Version":"2012-10-17","Statement":[{{{allow},{resource}}}]}}'
    )
    before = minio.get_bucket_policy(bucket)
    minio.put_object(bucket, "any", BytesIO(b"x"), 1)
    wait_until(lambda: status(f"{s3.url}/{bucket}/any") == 200, "the policy is in force")
    site = start(bucket)
    (note,) = wait_until(
        lambda: [note for note in site.notes() if bucket in note], "the note is there"
    )
    wait_until(lambda: note in site.up.process.log, "so does the log")
    assert minio.get_bucket_policy(bucket) == before
