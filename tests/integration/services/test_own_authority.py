"""TLS to every server with an authority of one's own: trusted where it is named, and only there."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from projections.database import open_database
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.s3 import S3
from tests.services.tls import Authority
from tts.application.tasks import utc_now
from tts.bootstrap import Composition
from tts.config import ConfigError, Settings
from tts.domain.failures import StepError
from tts.parts.trust import trust_of
from tts.ports.errors import Unavailable
from tts.store.memory import LocalSignals
from tts.store.postgres import PostgresStore

TEXT = "这是参考声音。"
ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"
)


@pytest.fixture
async def web(authority: Authority) -> AsyncIterator[str]:
    """An https server that answers the same to everything, and says 200."""
    files = authority.certificate()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = TEXT.encode()
            writer.write(ANSWER.format(len(body)).encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port := free_port(), ssl=tls)
    async with server:
        yield f"https://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def process(folder: Path, file: Path | None, **settings: Any) -> AsyncIterator[Composition]:
    """The parts of a process that was told of the authority, or not."""
    given = {"data_dir": folder, "tls_ca_file": file, **settings}
    async with contextlib.AsyncExitStack() as stack:
        yield Composition(
            Settings(_env_file=None, **given),  # type: ignore[call-arg]
            stack,
            {"signals": LocalSignals(), "now": utc_now},
            alone=True,
            gateway=True,
        )


async def test_templates_and_replicate(web: str, authority: Authority, tmp_path: Path) -> None:
    """Both are asked, and an answer comes back, even if it is none of Replicate's."""
    settings = {"replicate_base_url": web, "template_base_url": web, "replicate_api_token": "r8_x"}
    async with process(tmp_path, authority.file, **settings) as trusting:
        assert (await trusting.templates.fetch("a")).transcript == TEXT
        with pytest.raises(StepError) as caught:
            await trusting.predictions.get("p1")
        assert caught.value.code == "replicate_unreadable"
        with pytest.raises(Unavailable, match="the secret of webhooks is not known"):
            await trusting.webhook_secret.key()
    async with process(tmp_path, None, **settings) as strange:
        with pytest.raises(StepError) as caught:
            await strange.templates.fetch("a")
        assert caught.value.code == "template_unavailable"
        with pytest.raises(StepError) as caught:
            await strange.predictions.get("p1")
        assert caught.value.code == "replicate_unreachable"


@pytest.fixture(scope="module")
def secure_s3(authority: Authority) -> Iterator[S3]:
    """An S3 server that speaks TLS."""
    server = S3(authority.certificate())
    yield server
    server.stop()


@pytest.mark.cluster
async def test_the_bucket(secure_s3: S3, authority: Authority, tmp_path: Path) -> None:
    """Audio is stored in it, and its health is known."""
    settings = {
        "minio_endpoint": secure_s3.tls_endpoint,
        "minio_access_key": secure_s3.access_key,
        "minio_secret_key": secure_s3.secret_key,
        "minio_secure": True,
    }
    async with process(tmp_path, authority.file, **settings) as trusting:
        await trusting.audio.ensure_bucket()
        await trusting.audio.ready()
    async with process(tmp_path, None, **settings) as strange:
        with pytest.raises((StepError, Unavailable)):
            await strange.audio.ready()


@pytest.mark.cluster
async def test_postgresql(authority: Authority) -> None:
    """The log and the read models; the URL names the authority."""
    server = Postgres(certificate=authority.certificate())
    try:
        url = server.create_database()
        assert "sslmode=verify-full" in url
        store = PostgresStore(url)
        await store.open()
        try:
            await store.append([StoredEvent(uuid4(), 1, "tts.task.queued", b"{}")])
            async with asyncio.timeout(5), store.leadership("relay"), open_database(url):
                pass
        finally:
            await store.aclose()
        strange = PostgresStore(url.replace("sslrootcert=", "sslrootcert=/nowhere"))
        with pytest.raises(Unavailable, match="certificate"):
            await strange.open()
        await strange.aclose()
    finally:
        server.stop()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_refused_by_name(
    tmp_path: Path, content: str | None
) -> None:
    """Missing or not: the sentence names the setting and the file."""
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    settings = Settings(_env_file=None, tls_ca_file=file)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=rf"TLS_CA_FILE: {file} cannot be read"):
        trust_of(settings)
