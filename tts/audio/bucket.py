"""The bucket itself: how we make one, and what there is to say of one that somebody else made."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from xml.etree import ElementTree as ET

from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import MinioException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from urllib3 import PoolManager

from tts.domain.naming import AUDIO_PREFIX, PART_PREFIX, PARTS_KEPT_DAYS

PARTS_RULE = "tts-parts"
AUDIO_RULE = "tts-audio"
POLICY_PAUSES_SECONDS = (0, 0.5, 1.5)  # until a policy that was just set is in force


class Bucket:
    """Blocks. Nothing here changes a bucket that was there before: its maker decides about it.

    Not even a rule is added: S3 takes its lifecycle as one document, and what a client does not
    know in it is lost when it is written again.

    ``url`` is the bucket's address, as we reach it; ``everyone_reads`` is of one that we make.
    """

    def __init__(
        self,
        client: Minio,
        pool: PoolManager,
        url: str,
        name: str,
        *,
        everyone_reads: bool,
        keep_days: int = 0,
    ) -> None:
        self._client = client
        self._pool = pool
        self._url = url
        self._name = name
        self._is_open = everyone_reads
        self._rules = [_rule(PARTS_RULE, PART_PREFIX, PARTS_KEPT_DAYS)]
        if keep_days:
            self._rules.append(_rule(AUDIO_RULE, AUDIO_PREFIX, keep_days))

    def make(self) -> None:
        """Make it, with the rules for what is old, and open it if it is to be open."""
        try:
            self._client.make_bucket(self._name)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
            return
        if self._is_open:
            self._client.set_bucket_policy(self._name, json.dumps(self._open_policy()))
        try:
            # None: it has none yet, so nothing can be lost.
            if self._client.get_bucket_lifecycle(self._name) is None:
                self._client.set_bucket_lifecycle(self._name, LifecycleConfig(self._rules))
        except (MinioException, ValueError):
            return  # the server knows no lifecycle; who looks for the rule says so

    def parts_expire(self) -> bool:
        """Whether a rule removes parts; False where we cannot see any."""
        try:
            # Raw, because minio-py refuses documents that hold more than it knows.
            answer = self._client._execute("GET", self._name, query_params={"lifecycle": ""})  # noqa: SLF001
            document = ET.fromstring(answer.data)  # noqa: S314 -- from a server that has our keys
        except (S3Error, ET.ParseError):
            return False
        return any(map(_removes_parts, document))

    def everyone_reads(self, key: str, *, expected: bool) -> bool:
        """Whether the object opens for somebody without an account."""
        for pause in POLICY_PAUSES_SECONDS:
            time.sleep(pause)
            answer = self._pool.request("GET", f"{self._url}/{key}")
            if (answer.status == HTTPStatus.OK) == expected:
                return expected
        return not expected

    def _open_policy(self) -> dict[str, object]:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": ["*"]},
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{self._name}/*"],
        }
        return {"Version": "2012-10-17", "Statement": [statement]}


def _rule(name: str, prefix: str, days: int) -> Rule:
    return Rule(
        ENABLED,
        rule_filter=Filter(prefix=prefix),
        rule_id=name,
        expiration=Expiration(days=days),
    )


def _removes_parts(rule: ET.Element) -> bool:
    contents = {(element.tag.rpartition("}")[2], element.text) for element in rule.iter()}
    ours = {("Prefix", PART_PREFIX), ("ID", PARTS_RULE)}
    return ("Status", ENABLED) in contents and not contents.isdisjoint(ours)
