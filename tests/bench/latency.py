"""From commit to client: 1,000 subscribers, 200 events a second, against a bare LISTEN loop."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile

from tests.bench.processes import running, wait_for
from tests.bench.subscribers import Subscribers
from tests.services.ports import free_port
from tests.services.postgres import Postgres

SUBSCRIBERS = 1000
PER_SECOND = 200
EVENTS = 1000
ROUNDS = 3


def main(rounds: int = ROUNDS) -> float:
    """Print and return the ratio of the 99th percentiles."""
    postgres = Postgres(fsync=True)
    found: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    try:
        with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
            url, bare_port, port = postgres.create_database(), free_port(), free_port()
            bare = ["-m", "tests.bench.bare_fanout", url, str(bare_port)]
            ours = ["-m", "tts", "gateway", "--port", str(port), "--data", folder]
            env = {"EVENT_STORE_URL": url, "SSE_HEARTBEAT_INTERVAL_MS": "600000"}
            with running(bare) as bare_process, running(ours, env) as our_process:
                wait_for(f"http://127.0.0.1:{bare_port}/", bare_process)
                wait_for(f"http://127.0.0.1:{port}/health", our_process)
                for _ in range(rounds):
                    found["bare"].append(_measure("bare", bare_port, url))
                    found["ours"].append(_measure("ours", port, url))
    finally:
        postgres.stop()
    p99 = {}
    for kind, pairs in found.items():
        p99[kind] = statistics.median(late for _, late in pairs)
        middle = statistics.median(middle for middle, _ in pairs)
        print(f"{kind:>6}: median {middle * 1000:7.1f} ms   p99 {p99[kind] * 1000:7.1f} ms")  # noqa: T201
    print(f" ratio: {p99['ours'] / p99['bare']:.2f}   (wanted: at most 3)")  # noqa: T201
    return p99["ours"] / p99["bare"]


def _measure(kind: str, port: int, url: str) -> tuple[float, float]:
    """Median and 99th percentile in seconds, over a sample of the subscribers."""
    subscribers = Subscribers(port, "/events", SUBSCRIBERS, watch_every=50)
    command = ["-m", "tests.bench.committer", kind, url, str(EVENTS), str(PER_SECOND)]
    committer = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE)
    try:
        subscribers.wait_for(SUBSCRIBERS * EVENTS)
        committed = json.loads(committer.communicate(timeout=60)[0])
    finally:
        subscribers.close()
        committer.kill()
        committer.wait()
    late = sorted(
        arrival - commit
        for arrivals in subscribers.arrivals.values()
        for arrival, commit in zip(arrivals, committed, strict=True)
    )
    return late[len(late) // 2], late[len(late) * 99 // 100]
