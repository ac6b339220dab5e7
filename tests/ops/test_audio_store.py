"""Policy and lifecycle of the bucket, and the S3 server of compose.yaml."""

import json
import re

from tests.ops.files import OPS, ROOT
from tts.audio.bucket import PARTS_RULE
from tts.config import Settings
from tts.domain.naming import PART_PREFIX, PARTS_KEPT_DAYS

FOLDER = OPS / "minio"
BUCKET = Settings.model_fields["minio_bucket"].default
RIGHTS = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetLifecycleConfiguration"}
# What the service calls on the client: for objects, and to make a bucket that is not there.
OBJECTS = {"get_object", "put_object", "remove_object"}
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
