"""What a stream costs a gateway: with real connections, and in the hub alone by the ten thousand.

The hub reads a real log in PostgreSQL; the streams there are none but counters, so that more of
them can be than this machine has ports. What the hub does not do, a write to a socket, is measured
with the real ones.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

from gateway.streams.hub import Hub
from tests.bench.processes import resident_megabytes, running, wait_for
from tests.bench.subscribers import Subscribers
from tests.services.ports import free_port
from tests.services.process import cpu_seconds
from tests.waiting import until
from tts.ports.log import Recorded

STREAMS = 5_000
BEAT_SECONDS = 2
BEATS = 8


def of_connections(streams: int = STREAMS) -> tuple[float, float, float]:
    """KiB of memory, milliseconds to open one, microseconds of a heartbeat; each of one stream."""
    port = free_port()
    env = {
        "SSE_HEARTBEAT_INTERVAL_MS": str(BEAT_SECONDS * 1000),
        "STREAMS_PER_ADDRESS": str(4 * streams),
        "RATE_LIMIT_PER_ADDRESS": "0",
    }
    with (
        TemporaryDirectory(prefix="tts-bench-") as folder,
        running(["-m", "tts", "gateway", "--port", str(port), "--data", folder], env) as process,
    ):
        wait_for(f"http://127.0.0.1:{port}/health", process)
        first = Subscribers(port, f"/events?taskId={uuid4()}", 100)
        before, memory = cpu_seconds(process.pid), resident_megabytes(process.pid)
        many = Subscribers(port, f"/events?taskId={uuid4()}", streams)
        opened = cpu_seconds(process.pid) - before
        kib = (resident_megabytes(process.pid) - memory) * 1024 / streams
        before, began = cpu_seconds(process.pid), time.monotonic()
        time.sleep(BEATS * BEAT_SECONDS)
        beats = (time.monotonic() - began) / BEAT_SECONDS
        beaten = cpu_seconds(process.pid) - before
        for each in (first, many):
            each.close()
    return kib, opened / streams * 1000, beaten / (streams + 100) / beats * 1e6


class Counted:
    """A stream that only counts."""

    __slots__ = ("frames", "scope", "send", "tasks")

    def __init__(self, task_id: UUID) -> None:
        self.tasks: frozenset[UUID] | None = frozenset((task_id,))
        self.scope = None
        self.frames = 0
        self.send: Callable[[bytes], None] = self._count

    def _count(self, _frame: bytes) -> None:
        self.frames += 1

    def finish(self, _seconds: float) -> None:
        """The hub ends; nobody listens."""


class Replayed:
    """The log, followed from ``start`` on as if it were its end."""

    def __init__(self, store: Any, start: int) -> None:
        self._store, self._start = store, start

    async def position(self, _seen: int = 0) -> int:
        """Where the hub begins."""
        return self._start

    def follow(self, after: int, **options: Any) -> AsyncIterator[list[Recorded]]:
        """The real log."""
        follow: AsyncIterator[list[Recorded]] = self._store.follow(after, **options)
        return follow


async def of_the_hub(store: Any, start: int, tasks: list[UUID], streams: int) -> tuple[float, int]:
    """CPU seconds until everything after ``start`` is handed out, and how many frames that were.

    Each stream is about one task; those above the number of ``tasks`` hear of nothing.
    """
    hub = Hub(Replayed(store, start), events=store.events, audio_url=str, heartbeat_seconds=3600)
    subscribed = [Counted(tasks[n] if n < len(tasks) else uuid4()) for n in range(streams)]
    end = await store.position()
    for stream in subscribed:
        hub.streams.add(stream)
    before = time.process_time()
    async with hub.following():
        await until(lambda: hub.position >= end, "everything is sent or due", 600)
        hub.streams.send_due(streams)
        used = time.process_time() - before
        for stream in subscribed:
            hub.streams.discard(stream)
    await hub.aclose()
    return used, sum(stream.frames for stream in subscribed)
