"""1,000 subscribers of one feed × 200 events: ours, nchan and a loop in Express, on one core each.

The events are posted over connections of their own, first all at once, so that each server takes
them as fast as it can, and then each after the answer to the one before. For ours an answer means a
durable append. One generator on another core drives all three.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import cpu_seconds, pin, running, wait_for
from tests.bench.subscribers import Subscribers
from tests.services.ports import free_port
from tests.services.process import ServiceError

ROUNDS = 5
SUBSCRIBERS = 1000
EVENTS = 200
IDLE = 9000
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
EXPRESS = """
const express = require('express');
const app = express();
const clients = new Set();
let position = 0;
app.get('/events', (request, response) => {
  response.writeHead(200, {'content-type': 'text/event-stream', 'cache-control': 'no-cache'});
  response.write(': connected\\n\\n');
  clients.add(response);
  request.on('close', () => clients.delete(response));
});
app.post('/publish', express.text({type: '*/*'}), (request, response) => {
  const frame = `id: ${++position}\\nevent: task_update\\ndata: ${request.body}\\n\\n`;
  for (const client of clients) client.write(frame);
  response.sendStatus(202);
});
app.listen({port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096});
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
        path = "/api/tts" if self.name == "ours" else "/publish"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


Post = Callable[[Served, int], None]


def main(rounds: int = ROUNDS) -> dict[str, float]:
    """Print and return how many times as fast as each of the others ours is, by wall time."""
    sys.setswitchinterval(0.0002)  # the thread that posts is not to wait for the one that reads
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = [stack.enter_context(start(folder)) for start in (_ours, _nchan, _express)]
        for how, post in (("at once", _post_at_once), ("in turn", _post_in_turn)):
            found = _compare(servers, post, how, rounds)
            ratios |= {f"{name} {how}": ratio for name, ratio in found.items()}
        with _ours(folder, "idle") as fresh:
            ratios["idle_kib"] = _idle(fresh)
    return ratios


def _compare(servers: Sequence[Served], post: Post, how: str, rounds: int) -> dict[str, float]:
    """Print and return the ratios, for events that are posted that way."""
    rates: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for each in servers:
            rates.setdefault(each.name, []).append(_measure(each, post))
    medians = {
        server: (
            statistics.median(wall for wall, _ in found),
            statistics.median(cpu for _, cpu in found),
        )
        for server, found in rates.items()
    }
    print(f"   {EVENTS} events posted {how}:")  # noqa: T201
    for server, (wall, cpu) in medians.items():
        print(f"{server:>8}: {wall:10,.0f} deliveries/s  {cpu:10,.0f} per CPU second")  # noqa: T201
    ratios = {other: medians["ours"][0] / medians[other][0] for other in ("nchan", "express")}
    print(  # noqa: T201
        f"   ratio: {ratios['nchan']:.1f} × nchan (wanted: at least 2), "
        f"{ratios['express']:.1f} × Express (wanted: at least 2.5)"
    )
    return ratios


def _measure(server: Served, post: Post) -> tuple[float, float]:
    """Deliveries per second of wall time, and of the server's CPU time."""
    subscribers = Subscribers(server.port, server.path, SUBSCRIBERS)
    try:
        _post_in_turn(server, 1)
        subscribers.wait_for(SUBSCRIBERS)
        before = cpu_seconds(server.worker)
        started = time.perf_counter()
        posting = threading.Thread(target=post, args=(server, EVENTS))
        posting.start()
        subscribers.wait_for(SUBSCRIBERS * (EVENTS + 1))
        wall = time.perf_counter() - started
        posting.join()
        used = cpu_seconds(server.worker) - before
    finally:
        subscribers.close()
    return SUBSCRIBERS * EVENTS / wall, SUBSCRIBERS * EVENTS / max(used, 0.01)


def _post_at_once(server: Served, count: int) -> None:
    """Send so many events, each over a connection that stands already."""
    posts = [_connect(server) for _ in range(count)]
    for post in posts:
        post.sendall(server.request)
    for post in posts:
        _accepted(post)


def _post_in_turn(server: Served, count: int) -> None:
    """The same, but each event waits for the answer to the one before."""
    posts = [_connect(server) for _ in range(count)]
    for post in posts:
        post.sendall(server.request)
        _accepted(post)


def _connect(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port))


def _accepted(post: socket.socket) -> None:
    answer = post.recv(4096)
    if not answer.startswith((b"HTTP/1.1 20",)):
        raise ServiceError(f"a post was refused: {answer[:200]!r}")
    post.close()


def _idle(server: Served) -> float:
    """Print and return the KiB of process memory that an idle stream costs."""
    few = Subscribers(server.port, server.path, 1000)
    before = _resident_kib(server.worker)
    many = Subscribers(server.port, server.path, IDLE)
    each = (_resident_kib(server.worker) - before) / IDLE
    few.close()
    many.close()
    print(f"   memory: {each:.1f} KiB for an idle stream at {IDLE + 1000} (wanted: at most 12)")  # noqa: T201
    return each


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


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
        yield Served("ours", port, "/events", body, process, process.pid)


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
    if shutil.which("npm") is None:
        raise ServiceError("npm is missing; mend it with: apt-get install -y nodejs npm")
    home = folder / "express"
    home.mkdir()
    (home / "server.js").write_text(EXPRESS)
    install = ["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "express@5"]
    subprocess.run(install, cwd=home, check=True, capture_output=True)
    port = free_port()
    with running([str(home / "server.js"), str(port)], program="node") as process:
        wait_for(f"http://127.0.0.1:{port}/", process)
        pin(process.pid, 0)
        yield Served("express", port, "/events", _data(), process, process.pid)
