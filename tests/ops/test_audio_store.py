"""Policy and lifecycle of the bucket, and the S3 server of compose.yaml."""

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.ops.files import OPS, ROOT, document
from tests.services.ports import free_port
from tests.services.process import Process
from tests.services.s3 import _binary
from tests.waiting import until
from tts.audio.bucket import PARTS_RULE
from tts.audio.minio import MinioAudio
from tts.config import Settings
from tts.domain.failures import StepError
from tts.domain.naming import PART_PREFIX, PARTS_KEPT_DAYS

PORTS = ("s3", "master", "filer", "volume")
SECRET = "secret-of-a-test"  # noqa: S105 -- of a server that lives for one test
FOLDER = OPS / "minio"
BUCKET = Settings.model_fields["minio_bucket"].default
RIGHTS = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetLifecycleConfiguration"}
# What the service calls on the client: for objects, and to make a bucket that is not there.
OBJECTS = {"get_object", "presigned_put_object", "put_object", "remove_object"}
MAKING = {"make_bucket", "set_bucket_policy", "get_bucket_lifecycle", "set_bucket_lifecycle"}


def test_the_policy_allows_what_the_service_does_and_no_more():
    """It never lists, and makes a bucket only where there is none."""
    policy = json.loads((FOLDER / "policy.json").read_text())
    allowed = {action for each in policy["Statement"] for action in each["Action"]}
    assert allowed == RIGHTS
    resources = {name for each in policy["Statement"] for name in each["Resource"]}
    assert resources == {f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"}
    code = "".join((ROOT / "tts/audio" / name).read_text() for name in ("minio.py", "bucket.py"))
    calls = set(re.findall(r"_client\.(\w+)\(", code))
    assert calls == OBJECTS | MAKING | {"_execute"}


def test_the_rule_for_parts_is_the_one_that_the_service_makes():
    """Parts of long texts go when nobody plays them any more; finished audio stays."""
    (rule,) = json.loads((FOLDER / "lifecycle.json").read_text())["Rules"]
    assert rule == {
        "ID": PARTS_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": PART_PREFIX},
        "Expiration": {"Days": PARTS_KEPT_DAYS},
    }


@pytest.fixture
def s3_of_compose(tmp_path):
    """The server, started by compose's own words: its endpoint, and the secret of a test."""
    service = document(OPS / "docker/compose.yaml")["services"]["s3"]
    ports = [free_port() for _ in range(2 * len(PORTS))]
    names = [f"{name}.{kind}" for kind in ("port", "port.grpc") for name in PORTS]
    own = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    words = [word for word in service["command"] if not word.startswith(("-dir", "-s3.port"))]
    (tmp_path / "data").mkdir()
    process = Process(
        [_binary(), *words, f"-dir={tmp_path / 'data'}", "-ip=127.0.0.1", *own],
        folder=tmp_path,
        log=tmp_path / "log",
        stop_signal=signal.SIGKILL,
        env={**os.environ, **dict.fromkeys(service["environment"], SECRET)},
    )
    yield f"127.0.0.1:{ports[0]}"
    process.stop(signal.SIGKILL)
    for port in ports:  # where it puts a socket beside each of them
        for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 -- its choice
            socket.unlink()


@pytest.mark.ops
async def test_the_s3_server_of_compose_takes_audio_with_its_keys(s3_of_compose):
    """The service makes the bucket, stores, and signs URLs, without which nobody hears."""
    audio = MinioAudio(
        s3_of_compose, access_key=SECRET, secret_key=SECRET, bucket=BUCKET, presign_seconds=60
    )

    async def stored():
        with contextlib.suppress(StepError):
            await audio.put("audio-1.wav", b"RIFF", "audio/wav")
            return True

    await until(stored, "it takes audio")
    url = audio.url("audio-1.wav")
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).content == b"RIFF"
        assert (await client.get(url.partition("?")[0])).status_code == 403
    await audio.aclose()
