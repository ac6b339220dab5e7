"""From commit to client: 1,000 subscribers of one feed, against a bare LISTEN loop, by turns.

Each server has the first core to itself; PostgreSQL, committer and reader share the second. Where
the bare loop cannot keep up, the comparison is repeated at a lower rate, at which it can.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from tests.bench.processes import cpu_seconds, pin, running, wait_for
from tests.services.ports import free_port
from tests.services.postgres import Postgres

SUBSCRIBERS = 1000
RATES = (200, 100, 50)  # events a second
SECONDS = 5
ROUNDS = 3
KEEPS_UP_SECONDS = 0.1  # half of the last events come later than this: the queue has grown
LIMIT = 3.0


@dataclass(frozen=True)
class Server:
    """One of the two that are compared."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Found:
    """Of one run, in seconds: median, 99th percentile, and the median of its last fifth.

    ``core`` is the part of a core that it took.
    """

    middle: float
    late: float
    end: float
    core: float


def main(rounds: int = ROUNDS, rates: tuple[int, ...] = RATES) -> float:
    """Print and return the ratio of the 99th percentiles, at the first rate that bare survives."""
    postgres = Postgres(fsync=True)
    ratio = float("inf")
    try:
        with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
            url, bare_port, port = postgres.create_database(), free_port(), free_port()
            bare = ["-m", "tests.bench.bare_fanout", url, str(bare_port)]
            ours = ["-m", "tts", "gateway", "--port", str(port), "--data", folder]
            env = {"EVENT_STORE_URL": url, "SSE_HEARTBEAT_INTERVAL_MS": "600000"}
            with running(bare) as bare_process, running(ours, env) as our_process:
                wait_for(f"http://127.0.0.1:{bare_port}/", bare_process)
                wait_for(f"http://127.0.0.1:{port}/health", our_process)
                servers = (
                    Server("bare", bare_port, bare_process),
                    Server("ours", port, our_process),
                )
                for rate in rates:
                    ratio, survived = _compare(servers, url, rounds, rate)
                    if survived:
                        return ratio
    finally:
        postgres.stop()
    print("The bare loop kept up at no rate: the machine is too busy, so nothing is shown.")  # noqa: T201
    return ratio


def _compare(
    servers: tuple[Server, Server], url: str, rounds: int, rate: int
) -> tuple[float, bool]:
    """The ratio of the 99th percentiles' medians, and whether the bare loop kept up."""
    found: dict[str, list[Found]] = {server.kind: [] for server in servers}
    for n in range(rounds):
        for server in servers[:: 1 if n % 2 else -1]:
            found[server.kind].append(_measure(server, url, rate))
    late = {}
    print(f"{rate} events/s x {SUBSCRIBERS} subscribers, medians of {rounds} rounds")  # noqa: T201
    for kind, runs in found.items():
        late[kind] = statistics.median(run.late for run in runs)
        middle = statistics.median(run.middle for run in runs)
        core = statistics.median(run.core for run in runs)
        print(  # noqa: T201
            f"{kind:>6}: median {middle * 1000:7.1f} ms   p99 {late[kind] * 1000:7.1f} ms   "
            f"{core:4.0%} of a core"
        )
    ratio = late["ours"] / late["bare"]
    survived = statistics.median(run.end for run in found["bare"]) <= KEEPS_UP_SECONDS
    note = (
        f"(wanted: at most {LIMIT:.0f})" if survived else "(bare does not keep up: no comparison)"
    )
    print(f" ratio: {ratio:.2f}   {note}")  # noqa: T201
    return ratio, survived


def _measure(server: Server, url: str, rate: int) -> Found:
    events = rate * SECONDS
    pin(server.process.pid, 0)
    listening = ["-m", "tests.bench.listeners", str(server.port), "/events"]
    committing = ["-m", "tests.bench.committer", server.kind, url, str(events), str(rate)]
    listener = _start([*listening, str(SUBSCRIBERS), str(events)])
    committer = None
    try:
        assert listener.stdout is not None
        if listener.stdout.readline() != b"ready\n":
            raise RuntimeError("the listeners did not get their streams")
        before = cpu_seconds(server.process.pid)
        committer = _start(committing)
        committed = json.loads(committer.communicate(timeout=60)[0])
        arrivals = json.loads(listener.communicate(timeout=60)[0])
        used = cpu_seconds(server.process.pid) - before
    finally:
        for process in filter(None, (listener, committer)):
            process.kill()
            process.wait()
    late = [
        arrival - commit
        for several in zip(committed, *arrivals, strict=True)
        for commit, *times in [several]
        for arrival in times
    ]
    end = statistics.median(late[len(late) * 4 // 5 :])
    late.sort()
    return Found(late[len(late) // 2], late[len(late) * 99 // 100], end, used / SECONDS)


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE)
    pin(process.pid, 1)
    return process
