"""Finished audio in a bucket of MinIO, or of any other S3."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import md5
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from minio import Minio
from minio.error import MinioException, S3Error
from minio.helpers import MIN_PART_SIZE
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from tts.audio.bucket import Bucket
from tts.audio.minio_errors import ACCESS_DENIED, NO_BUCKET, NO_OBJECT, translated
from tts.domain.failures import StepError
from tts.domain.naming import PART_PREFIX
from tts.http.transport import Transport
from tts.ports.audio import missing
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 2.0, 10.0
SHORT_BYTES = 1_000_000  # of audio: what is longer would hold up the loop
SIGNED_FOR = timedelta(seconds=60)
NOTHING = f"{PART_PREFIX}of-nothing"  # the key of no object


class MinioAudio:
    """The bucket, through a bounded number of threads, because minio-py blocks.

    ``public_endpoint`` is ``host:port`` or a URL: what clients reach the bucket by. With
    ``presign_seconds`` the URLs are signed and end after that time (at most 7 days); with 0 they
    are permanent, and everyone may read a bucket that we make. ``knows_readers`` says whether these
    are the URLs that clients get: who does not know makes a private bucket, and only if it has to.
    In a bucket that we make, audio is removed after ``keep_days``, and kept for ever with 0.
    ``notes`` are what an operator should know of the bucket.
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
        knows_readers: bool = True,
        keep_days: int = 0,
        threads: int = 8,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        # minio-py's own would wait for 300 s, five times.
        self._pool = PoolManager(
            maxsize=threads,
            ssl_context=trust,
            timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=Retry(total=1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="minio")
        self._short_way = Transport(
            timeout=READ_SECONDS, connect_timeout=CONNECT_SECONDS, trust=trust, proxies=False
        )
        self.notes: tuple[str, ...] = ()
        self._bucket = bucket
        self._knows_readers = knows_readers
        self._signs_addresses = True  # of objects that are stored
        self._refusal: StepError | None = None  # why the last object could not be stored
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
        reached = public_endpoint or endpoint
        self._public_url = (reached if "://" in reached else f"{scheme}://{reached}").rstrip("/")
        self._is_reached_directly = not public_endpoint
        if presign_seconds:
            # The host is part of what is signed, so the public one needs a client of its own.
            parts = urlsplit(self._public_url)
            if parts.path:
                raise ValueError(f"a presigned URL can have no path prefix: {self._public_url!r}")
            self._signer = client(parts.netloc, secure=parts.scheme == "https")
        self._itself = Bucket(
            self._client,
            self._pool,
            f"{scheme}://{endpoint}/{bucket}",
            bucket,
            everyone_reads=knows_readers and not presign_seconds,
            keep_days=keep_days,
        )

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store (or overwrite) the object, in a bucket that is made if it is missing."""
        status = None
        if len(data) <= SHORT_BYTES and self._signs_addresses:
            status = await self._sent(key, data, content_type)
        if status != HTTPStatus.OK:
            await self._call(lambda: self._put(key, BytesIO(data), len(data), content_type))
            # Some policies refuse what is signed in its address, and nothing else.
            self._signs_addresses &= status != HTTPStatus.FORBIDDEN

    async def _sent(self, key: str, data: bytes, content_type: str) -> int | None:
        """The answer to the object sent the short way, which minio-py signs and needs no thread.

        That costs a third of minio-py's own way, which is to say what is wrong if anything is.
        """
        url = self._client.presigned_put_object(self._bucket, key, expires=SIGNED_FOR)
        digest = b64encode(md5(data, usedforsecurity=False).digest()).decode()
        headers = {"Content-Type": content_type, "Content-MD5": digest}
        try:
            async with self._short_way.ask("PUT", url, headers=headers, body=data) as answer:
                status = answer.status
        except httpx.TimeoutException as error:  # whom it has kept waiting needs no second wait
            message = f"The audio store does not answer: {type(error).__name__}"
            self._refusal = StepError("audio_unavailable", "audio", message)
            raise self._refusal from error
        except httpx.HTTPError:
            return None
        if status == HTTPStatus.OK:
            self._refusal = None
        return status

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
        """Store an object and remove it, in a bucket that is made if it is missing; take notes.

        Who does not know the readers leaves the making to those who do.

        Raises:
            StepError: at step ``audio``.
        """
        await self._call(self._try_out)

    async def ready(self) -> None:
        """Return if the server answers and lets us in.

        It asks for what a task needs, no more: a key that may store objects need not see a list.

        Raises:
            Unavailable: it does not.
        """
        try:
            await self._call(self._look)
        except StepError as error:
            raise Unavailable(error.message) from error

    async def aclose(self) -> None:
        """Finish what is under way and close the connections."""
        await self._short_way.aclose()
        await asyncio.to_thread(self._threads.shutdown)
        self._pool.clear()

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (MinioException, HTTPError) as error:
            raise translated(error) from error

    def _put_file(self, key: str, path: Path, content_type: str) -> None:
        with path.open("rb") as file:
            self._put(key, file, path.stat().st_size, content_type)

    def _get(self, key: str) -> bytes:
        try:
            with self._client.get_object(self._bucket, key) as response:
                return response.read()
        except S3Error as error:
            if error.code not in {NO_OBJECT, NO_BUCKET}:
                raise
            raise missing(key) from error

    def _put(
        self, key: str, data: BinaryIO, size: int, content_type: str, *, make: bool = True
    ) -> None:
        try:
            self._put_into_bucket(key, data, size, content_type, make=make)
        except (MinioException, HTTPError) as error:
            self._refusal = translated(error)
            raise
        self._refusal = None

    def _put_into_bucket(
        self, key: str, data: BinaryIO, size: int, content_type: str, *, make: bool
    ) -> None:
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
            if error.code != NO_BUCKET or not make:
                raise
            self._make_bucket(error)
            put()

    def _make_bucket(self, missing_bucket: S3Error) -> None:
        try:
            self._itself.make()
        except S3Error as refusal:
            if refusal.code != ACCESS_DENIED:
                raise
            raise missing_bucket from refusal  # which says more to whoever has to make it

    def _look(self) -> None:
        """Ask for what is not there; a key that may not know that is refused, and yet let in."""
        if self._refusal is not None:
            with self._stored(make=True):  # as whoever stores next would
                return
        try:
            self._client.get_object(self._bucket, NOTHING).close()
        except S3Error as error:
            if error.code not in {NO_OBJECT, NO_BUCKET, ACCESS_DENIED}:
                raise

    def _try_out(self) -> None:
        with self._stored(make=self._knows_readers) as key:
            self.notes = tuple(self._who_reads(key)) if self._knows_readers else ()
        for note in self.notes:
            logger.warning("%s", note)
        if not self._itself.parts_expire():
            logger.warning(
                "Bucket %s has no rule of ours that we could see, and it stays as it is: add one "
                "that removes objects %s* after a day (README has it)",
                self._bucket,
                PART_PREFIX,
            )

    @contextlib.contextmanager
    def _stored(self, *, make: bool) -> Iterator[str]:
        """The key of an object that is there while the context is open."""
        key = f"{PART_PREFIX}check-{secrets.token_hex(8)}"
        self._put(key, BytesIO(), 0, "text/plain", make=make)
        try:
            yield key
        finally:
            with contextlib.suppress(S3Error):  # it is a part, whom a rule removes
                self._client.remove_object(self._bucket, key)

    def _who_reads(self, key: str) -> Iterator[str]:
        if self._presign:
            if self._itself.everyone_reads(key, expected=False):
                yield (
                    f"Everyone can read bucket {self._bucket}, although its URLs are signed: take "
                    "s3:GetObject for everyone out of its policy, or set MINIO_PRESIGN_SECONDS=0 "
                    "if it is to be public"
                )
        elif self._is_reached_directly and not self._itself.everyone_reads(key, expected=True):
            yield (
                f"Nobody can play audio from bucket {self._bucket}, because it is private and its "
                "URLs are not signed: set MINIO_PRESIGN_SECONDS, or allow everyone s3:GetObject"
            )
