"""Streams as other people's HTTP clients and proxies read them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import queue
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import requests
import urllib3

from tests.integration.gateway.gateway_under_test import Running, running, speak
from tests.services.nginx import GOOD, Nginx
from tests.services.process import program
from tests.waiting import SECONDS

Lines = Iterator[bytes]


def by_requests(url: str) -> Lines:
    """As sseclient-py and many a script do."""
    session = requests.Session()
    session.trust_env = False
    with session.get(url, stream=True, timeout=SECONDS) as answer:
        yield from answer.iter_lines()


def by_requests_in_blocks(url: str) -> Lines:
    """As those who pass ``iter_content`` on."""
    session = requests.Session()
    session.trust_env = False
    with session.get(url, stream=True, timeout=SECONDS) as answer:
        for block in answer.iter_content(chunk_size=4096):
            yield from block.splitlines()


def by_urllib3(url: str) -> Lines:
    """Block by block."""
    answer = urllib3.PoolManager().request("GET", url, preload_content=False)
    for block in answer.stream(65_536):
        yield from block.splitlines()


def by_http_client(url: str) -> Lines:
    """The standard library's, line by line."""
    host, path = url.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=SECONDS)
    connection.request("GET", f"/{path}")
    yield from connection.getresponse()


class Listener(threading.Thread):
    """Reads lines beside the loop, and notes how the stream ended."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(daemon=True)
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.end: Exception | None = None
        self._source = lines
        self.start()

    def run(self) -> None:
        """Read to the end."""
        try:
            for line in self._source:
                self.lines.put(line)
        except Exception as error:  # noqa: BLE001 -- each library has its own
            self.end = error

    async def until(self, part: bytes) -> None:
        """Return when a line has come with that in it."""
        async with asyncio.timeout(SECONDS):
            while part not in await asyncio.to_thread(self.lines.get, timeout=SECONDS):
                pass

    async def ended(self) -> None:
        """Return when the stream is over."""
        await asyncio.to_thread(self.join, SECONDS)
        assert not self.is_alive()


@contextlib.asynccontextmanager
async def nginx_before(its: Running, site: str) -> AsyncIterator[Nginx]:
    nginx = await asyncio.to_thread(Nginx, its.settings.port, site=site)
    try:
        yield nginx
    finally:
        await asyncio.to_thread(nginx.stop)


OLD = """
upstream gateways { SERVERS }
server {
    listen 127.0.0.1:PORT;
    proxy_buffering off;
    proxy_set_header Host $http_host;
    location / { proxy_pass http://gateways; }
}
"""


@pytest.fixture
async def its(tmp_path: Path) -> AsyncIterator[Running]:
    """One whose heartbeats come later than a test waits, for clients that wait for more to read."""
    async with running(tmp_path, sse_heartbeat_interval_ms=600_000) as its:
        yield its


async def hears_promptly(its: Running, lines: Lines) -> Listener:
    """The listener, which heard of an update as soon as there was one."""
    listener = Listener(lines)
    await listener.until(b"event: connected")
    task_id = await its.post()
    await speak(its.application, task_id)
    await listener.until(b'"succeeded"')
    return listener


@pytest.mark.parametrize(
    "read", [by_requests_in_blocks, by_urllib3, by_http_client], ids=lambda read: read.__name__
)
async def test_updates_come_at_once(its: Running, read: Callable[[str], Lines]):
    """Nothing waits for a heartbeat, and a graceful end is a clean one."""
    listener = await hears_promptly(its, read(f"{its.gateway.url}/events"))
    await its.gateway.stop()
    await listener.ended()
    assert listener.end is None


async def test_a_script_that_reads_lines_hears_the_end_of_a_task_with_it(its: Running):
    """``iter_lines`` holds the last line back, but an event's last line is empty."""
    await hears_promptly(its, by_requests(f"{its.gateway.url}/events"))


@pytest.mark.parametrize("read", [by_urllib3, by_requests], ids=lambda read: read.__name__)
async def test_a_stream_that_broke_off_is_no_finished_one(its: Running, read):
    """A client tells a gateway that was killed from one that sent it away."""
    listener = await hears_promptly(its, read(f"{its.gateway.url}/events"))
    its.gateway.hub.abort()
    await listener.ended()
    assert listener.end is not None


@pytest.mark.parametrize("site", [GOOD, OLD], ids=["HTTP/1.1", "HTTP/1.0"])
async def test_through_nginx(its: Running, site: str):
    """Whichever version it speaks to us, its clients hear at once."""
    async with nginx_before(its, site) as nginx:
        await hears_promptly(its, by_urllib3(f"{nginx.url}/events"))
        await asyncio.to_thread(nginx.halt)


async def test_curl_prints_what_comes(tmp_path: Path):
    """Without chunk sizes in between, in both versions of HTTP."""
    curl = shutil.which("curl") or program("curl", "curl")
    async with running(tmp_path) as its:
        for version in ("--http1.1", "--http1.0"):
            process = await asyncio.create_subprocess_exec(
                curl,
                "--no-buffer",
                "--silent",
                "--noproxy",
                "*",
                version,
                f"{its.gateway.url}/events",
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            async with asyncio.timeout(SECONDS):
                lines = [await process.stdout.readline() for _ in range(5)]
            process.terminate()
            await process.wait()
            assert [line.split(b":")[0] for line in lines] == [
                b"retry",
                b"id",
                b"event",
                b"data",
                b"\n",
            ]
