"""Finished audio in a bucket of MinIO, or of any other S3."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.helpers import MIN_PART_SIZE
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from tts.domain.failures import StepError
from tts.domain.naming import PART_PREFIX, PARTS_KEPT_DAYS
from tts.ports.audio import missing
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

PARTS_RULE = "tts-parts"
_OPERATOR_MUST_ACT = {
    "AccessDenied",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_PASSES = {"NoSuchBucket", "OperationAborted", "RequestTimeout", "SlowDown"}


class MinioAudio:
    """The bucket, through a bounded number of threads, because minio-py blocks.

    ``public_endpoint`` is ``host:port`` or a URL: what clients reach the bucket by. With
    ``presign_seconds`` the URLs are signed and end after that time (at most 7 days); with 0 they
    are permanent, and the bucket lets everyone read its objects.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        access_key: str,
        secret_key: str,
        bucket: str,
        region: str = "us-east-1",
        secure: bool = False,
        public_endpoint: str = "",
        presign_seconds: int = 0,
        threads: int = 8,
    ) -> None:
        # minio-py's own would wait for 300 s, five times.
        self._pool = PoolManager(
            maxsize=threads,
            timeout=Timeout(connect=2, read=10),
            retries=Retry(total=1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="minio")
        self._bucket = bucket
        self._presign = timedelta(seconds=presign_seconds)

        def client(host: str, *, secure: bool) -> Minio:
            # Without a region, each client first asks the server for it.
            return Minio(
                host,
                access_key=access_key,
                secret_key=secret_key,
                secure=secure,
                region=region,
                http_client=self._pool,
            )

        self._client = client(endpoint, secure=secure)
        scheme = "https" if secure else "http"
        public = public_endpoint or endpoint
        self._public_url = (public if "://" in public else f"{scheme}://{public}").rstrip("/")
        if presign_seconds:
            # The host is part of what is signed, so the public one needs a client of its own.
            parts = urlsplit(self._public_url)
            if parts.path:
                raise ValueError(f"a presigned URL can have no path prefix: {self._public_url!r}")
            self._signer = client(parts.netloc, secure=parts.scheme == "https")

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store (or overwrite) the object, in a bucket that is made if it is missing."""
        await self._call(lambda: self._put(key, BytesIO(data), len(data), content_type))

    async def put_file(self, key: str, path: Path, content_type: str) -> None:
        """Store (or overwrite) the object with the file's contents, some megabytes at a time."""
        await self._call(lambda: self._put_file(key, path, content_type))

    async def get(self, key: str) -> bytes:
        """The whole object."""
        return await self._call(lambda: self._get(key))

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        await self._call(lambda: self._client.remove_object(self._bucket, key))

    def url(self, key: str) -> str:
        """Where a client fetches the object: signed now, or for ever."""
        if self._presign:
            return self._signer.presigned_get_object(self._bucket, key, expires=self._presign)
        return f"{self._public_url}/{self._bucket}/{quote(key)}"

    async def ensure_bucket(self) -> None:
        """Make the bucket if it is missing.

        Raises:
            StepError: at step ``audio``.
        """
        await self._call(self._ensure_bucket)

    async def ready(self) -> None:
        """Return if the server answers and lets us in.

        Raises:
            Unavailable: it does not.
        """
        try:
            await self._call(lambda: self._client.bucket_exists(self._bucket))
        except StepError as error:
            raise Unavailable(error.message) from error

    async def aclose(self) -> None:
        """Finish what is under way and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        self._pool.clear()

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (MinioException, HTTPError) as error:
            raise _translated(error) from error

    def _put_file(self, key: str, path: Path, content_type: str) -> None:
        with path.open("rb") as file:
            self._put(key, file, path.stat().st_size, content_type)

    def _get(self, key: str) -> bytes:
        try:
            with self._client.get_object(self._bucket, key) as response:
                return response.read()
        except S3Error as error:
            if error.code not in {"NoSuchKey", "NoSuchBucket"}:
                raise
            raise missing(key) from error

    def _put(self, key: str, data: BinaryIO, size: int, content_type: str) -> None:
        def put() -> None:
            data.seek(0)
            self._client.put_object(
                self._bucket,
                key,
                data,
                size,
                content_type=content_type,
                # minio-py holds a part in memory, and would start threads of its own for several.
                part_size=MIN_PART_SIZE,
                num_parallel_uploads=1,
            )

        try:
            put()
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
            self._ensure_bucket()
            put()

    def _ensure_bucket(self) -> None:
        if not self._client.bucket_exists(self._bucket):
            self._make_bucket()
        try:
            self._let_parts_expire()
        except (MinioException, ValueError) as error:
            logger.warning(
                "Bucket %s takes no lifecycle rule (%s): remove objects %s* older than a day there "
                "by other means",
                self._bucket,
                error,
                PART_PREFIX,
            )

    def _let_parts_expire(self) -> None:
        there = self._client.get_bucket_lifecycle(self._bucket)
        rules = list(there.rules) if there else []
        if any(rule.rule_id == PARTS_RULE for rule in rules):
            return
        rules.append(
            Rule(
                ENABLED,
                rule_filter=Filter(prefix=PART_PREFIX),
                rule_id=PARTS_RULE,
                expiration=Expiration(days=PARTS_KEPT_DAYS),
            )
        )
        self._client.set_bucket_lifecycle(self._bucket, LifecycleConfig(rules))

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
            return
        if not self._presign:
            # Only ever on a bucket that we made: who made another decides who reads it.
            self._client.set_bucket_policy(self._bucket, json.dumps(self._everyone_reads()))

    def _everyone_reads(self) -> dict[str, object]:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": ["*"]},
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{self._bucket}/*"],
        }
        return {"Version": "2012-10-17", "Statement": [statement]}


def _translated(error: MinioException | HTTPError) -> StepError:
    """A server out of reach or out of order passes; one that refuses us needs an operator."""
    if isinstance(error, S3Error):
        name = error.code or "no code"
        status = error.response.status
    elif isinstance(error, ServerError):
        name, status = "ServerError", error.status_code
    elif isinstance(error, InvalidResponseError):
        # Not S3 at all: an address that something else listens on, or a proxy's error page.
        name, status = "no S3 answer", error._code  # noqa: SLF001 -- it has no public name
    else:
        message = f"The audio store does not answer: {type(error).__name__}"
        return StepError("audio_unavailable", "audio", message)
    message = f"The audio store answered {status}: {name}"
    if name in _OPERATOR_MUST_ACT:
        return StepError("audio_refused", "audio", message)
    busy = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    if busy or name in _PASSES:
        return StepError("audio_unavailable", "audio", message)
    if isinstance(error, InvalidResponseError):
        return StepError("audio_refused", "audio", message)
    return StepError("audio_rejected", "audio", message)
