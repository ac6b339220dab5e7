"""A gateway that is told to stop sends its clients away, and is gone soon."""

import asyncio
import re
import resource
import time

from tests.services.ports import free_port
from tests.services.tts import Tts

STREAMS = 1_000
SECONDS = 20.0  # a quiet machine takes one; who waits for the streams takes SHUTDOWN_SECONDS


async def test_a_thousand_open_streams_do_not_hold_up_a_stop(tmp_path):
    """Each is told when to come back, spread over seconds, and none is waited for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = free_port()
    gateway = await asyncio.to_thread(
        Tts,
        *("gateway", "--port", str(port), "--data", str(tmp_path / "data")),
        env={"SHUTDOWN_SECONDS": "60"},
    )
    await asyncio.to_thread(gateway.wait_for, f"http://127.0.0.1:{port}/health")

    async def follow() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"event: connected\n")
        return reader, writer

    async with asyncio.timeout(120):
        streams = [
            stream
            for _ in range(STREAMS // 100)
            for stream in await asyncio.gather(*(follow() for _ in range(100)))
        ]
    started = time.monotonic()
    await asyncio.to_thread(gateway.stop)
    assert time.monotonic() - started < SECONDS

    ends = [await reader.read() for reader, _ in streams]
    delays = [int(re.findall(rb"retry: (\d+)", end)[-1]) for end in ends]
    assert len(delays) == STREAMS
    assert max(delays) - min(delays) > 2_000
    for _, writer in streams:
        writer.close()
