"""One feed to 1,000 and to 10,000 streams: ours, nchan and a loop in Express, on one core each.

The events are posted over connections of their own, first all at once, so that each server takes
them as fast as it can, and then each after the answer to the one before. For ours an answer means a
durable append. Who posts and who reads are processes of their own, on the other core.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.bench.installed import javascript
from tests.bench.poster import AT_ONCE, IN_TURN
from tests.bench.processes import pin, resident_megabytes, running, wait_for
from tests.bench.records import Goal, Record, Row
from tests.bench.subscribers import Subscribers
from tests.services.ports import free_port
from tests.services.process import ServiceError, cpu_seconds

ROUNDS = 5
EVENTS = {1000: 200, 10_000: 40}  # by how many streams there are
IDLE = 9000
RATE, PER_CPU, READER = "deliveries/s", "per CPU second", "reader's CPU %"
TIMES_NCHAN = {AT_ONCE: 10, IN_TURN: 5}
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
TEMPLATE = "Z" + "x" * 63  # the mark once, and frames of about 300 bytes
NGINX = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /publish {{ nchan_publisher; nchan_channel_id feed; }}
    location = /events {{
      nchan_subscriber eventsource;
      nchan_channel_id feed;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Served:
    """A server under measurement: where events go in, and what its process is."""

    name: str
    port: int
    path: str
    body: bytes
    process: subprocess.Popen[bytes]
    worker: int  # the process that does the work

    @property
    def request(self) -> bytes:
        """What posts one event."""
        path = "/api/tts" if self.name == "tts" else "/publish"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def main(rounds: int = ROUNDS) -> Record:
    """All three by turns, for each way to post; then the memory of streams."""
    pin(os.getpid(), 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rows, goals = [], []
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = [stack.enter_context(start(folder)) for start in (_ours, _nchan, _express)]
        for streams, how in product(EVENTS, (AT_ONCE, IN_TURN)):
            found = _compare(servers, streams, how, rounds)
            rows += found.values()
            ratio = found["tts"].median(RATE) / found["nchan"].median(RATE)
            text = f"{streams:,} streams: ours / nchan, posted {how}"
            goals.append(Goal(text, ratio, TIMES_NCHAN[how]))
        with _ours(folder, "idle") as fresh:
            text = f"memory of an idle stream at {IDLE + 1000:,}"
            goals.append(Goal(text, _idle(fresh), 2, at_least=False, unit="KiB"))
    sizes = " and ".join(f"{events} events to {streams:,}" for streams, events in EVENTS.items())
    return Record("fanout", f"Fan-out: {sizes} streams", rows, goals)


def _compare(servers: Sequence[Served], streams: int, how: str, rounds: int) -> dict[str, Row]:
    """The row of each server, for so many streams and events that are posted that way."""
    cells: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for each in servers:
            for column, value in _measure(each, streams, how).items():
                cells.setdefault(each.name, {}).setdefault(column, []).append(value)
    return {
        server: Row(f"{server}, {streams:,} streams, posted {how}", found)
        for server, found in cells.items()
    }


def _measure(server: Served, streams: int, how: str) -> dict[str, float]:
    """Deliveries per second of wall time and of the server's CPU time, and who was busy."""
    events = EVENTS[streams]
    subscribers = Subscribers(server.port, server.path, streams)
    try:
        with _poster(server, IN_TURN, 1) as posts:
            posts()
            subscribers.wait_for(streams)
        with _poster(server, how, events) as posts:
            before, read_before = cpu_seconds(server.worker), time.process_time()
            started = time.perf_counter()
            posts()
            subscribers.wait_for(streams * (events + 1))
            wall = time.perf_counter() - started
            used, read = cpu_seconds(server.worker) - before, time.process_time() - read_before
    finally:
        subscribers.close()
    deliveries = streams * events
    return {
        RATE: deliveries / wall,
        PER_CPU: deliveries / max(used, 0.01),
        READER: 100 * read / wall,
    }


@contextlib.contextmanager
def _poster(server: Served, how: str, count: int) -> Iterator[Callable[[], None]]:
    """Connections that stand already; what is yielded begins to post over them."""
    request = server.request.decode("latin-1")
    command = [sys.executable, "-m", "tests.bench.poster", str(server.port), how, str(count)]
    with subprocess.Popen(
        [*command, request], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise ServiceError(f"the poster could not connect to {server.name}")
        yield process.stdin.close  # the end of its input is the sign
    if process.returncode:
        raise ServiceError(f"{server.name} refused a post")


def _idle(server: Served) -> float:
    """The KiB of process memory that an idle stream costs."""
    few = Subscribers(server.port, server.path, 1000)
    before = resident_megabytes(server.worker)
    many = Subscribers(server.port, server.path, IDLE)
    each = (resident_megabytes(server.worker) - before) * 1024 / IDLE
    few.close()
    many.close()
    return each


# --- the three servers, each on the first core


@contextlib.contextmanager
def _ours(folder: Path, data: str = "ours") -> Iterator[Served]:
    port = free_port()
    env = {
        "SSE_HEARTBEAT_INTERVAL_MS": "600000",
        "STREAMS_PER_ADDRESS": "20000",
        "RATE_LIMIT_PER_ADDRESS": "0",
    }
    command = ["-m", "tts", "gateway", "--port", str(port), "--data", str(folder / data)]
    body = json.dumps({"templateId": TEMPLATE, "tts_text": "x"}).encode()
    with running(command, env) as process:
        wait_for(f"http://127.0.0.1:{port}/", process)
        pin(process.pid, 0)
        yield Served("tts", port, "/events", body, process, process.pid)


def _data() -> bytes:
    """What ours sends, as the others get it to send."""
    data: Mapping[str, object] = {
        "taskId": "0190a1b2-c3d4-7000-8000-0123456789ab",
        "status": "starting",
        "timestamp": "2025-01-31T12:00:00.000000+00:00",
        "position": 1234,
        "templateId": TEMPLATE,
    }
    return json.dumps(data, separators=(",", ":")).encode()


@contextlib.contextmanager
def _nchan(folder: Path) -> Iterator[Served]:
    if not NCHAN_MODULE.exists():
        raise ServiceError("nchan is missing; mend it with: apt-get install -y libnginx-mod-nchan")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(module=NCHAN_MODULE, folder=folder, port=port))
    with running(["-p", str(folder), "-c", str(config)], program="nginx") as process:
        wait_for(f"http://127.0.0.1:{port}/", process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        worker = int(children.split()[0])
        pin(worker, 0)
        yield Served("nchan", port, "/events", _data(), process, worker)


@contextlib.contextmanager
def _express(folder: Path) -> Iterator[Served]:
    port = free_port()
    with running([str(javascript() / "fanout.mjs"), str(port)], program="node") as process:
        wait_for(f"http://127.0.0.1:{port}/", process)
        pin(process.pid, 0)
        yield Served("Express", port, "/events", _data(), process, process.pid)
