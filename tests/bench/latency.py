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

from tests.bench.processes import pin, running, wait_for
from tests.bench.records import Goal, Record, Row
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.process import cpu_seconds

SUBSCRIBERS = 1000
RATES = (200, 100, 50)  # events a second
SECONDS = 5
ROUNDS = 3
KEEPS_UP_SECONDS = 0.1  # half of the last events come later than this: the queue has grown
BARE, OURS = "bare", "ours"
MIDDLE, LATE = "p50 ms", "p99 ms"
LIMITS = {MIDDLE: 1.2, LATE: 1.0}


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


def main(rounds: int = ROUNDS, rates: tuple[int, ...] = RATES) -> Record | None:
    """At the first rate that bare survives; nothing if there is none."""
    postgres = Postgres(fsync=True)
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
                    Server(BARE, bare_port, bare_process),
                    Server(OURS, port, our_process),
                )
                for rate in rates:
                    if record := _compare(servers, url, rounds, rate):
                        return record
    finally:
        postgres.stop()
    print("The bare loop kept up at no rate: the machine is too busy, so nothing is shown.")  # noqa: T201
    return None


def _compare(servers: tuple[Server, Server], url: str, rounds: int, rate: int) -> Record | None:
    """What was found, if the bare loop kept up."""
    found: dict[str, list[Found]] = {server.kind: [] for server in servers}
    for n in range(rounds):
        for server in servers[:: 1 if n % 2 else -1]:
            found[server.kind].append(_measure(server, url, rate))
    if statistics.median(run.end for run in found[BARE]) > KEEPS_UP_SECONDS:
        print(f"At {rate} events a second the bare loop does not keep up: no comparison.")  # noqa: T201
        return None
    bare, own = (
        Row(
            name,
            {
                MIDDLE: [1000 * run.middle for run in found[kind]],
                LATE: [1000 * run.late for run in found[kind]],
                "its CPU %": [100 * run.core for run in found[kind]],
            },
        )
        for name, kind in (("bare LISTEN loop", BARE), ("tts gateway", OURS))
    )
    goals = [
        Goal(
            f"{measure}: ours / bare",
            own.median(measure) / bare.median(measure),
            limit,
            at_least=False,
        )
        for measure, limit in LIMITS.items()
    ]
    title = f"Commit to client: {rate} events/s to {SUBSCRIBERS:,} streams"
    return Record("latency", title, [bare, own], goals)


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
