"""From a POST until a worker has the task in its hands, idle and at half load; BullMQ beside.

The moment is the worker's own: for ours the time that stands in the event ``dequeued``, for BullMQ
the clock in the first line of the job. Clients, service, servers and the sandbox share the machine.
Half load is half of the tasks that the distributed service speaks a second when 32 wait at once;
BullMQ, whose job only waits as long as a prediction takes, gets the same number.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial

from tests.bench.customers import Customers, Posted
from tests.bench.installed import javascript
from tests.bench.processes import running, wait_for
from tests.bench.records import Goal, Record, Row
from tests.bench.sites import PREDICT_SECONDS, distributed, embedded
from tests.bench.subjects import BULLMQ, Servers
from tests.services.ports import free_port
from tests.services.redis import Redis
from tests.waiting import wait_until

ROUNDS = 3
IDLE_TASKS, PAUSE_SECONDS = 40, 0.05
WARMING_TASKS, CAPACITY_TASKS = 16, 96
LOAD_SECONDS = 5.0
GOAL_MS = 5.0
EMBEDDED, DISTRIBUTED = "tts embedded", "tts distributed"

# When each task was begun, by its id.
Begun = Callable[[Sequence[Posted]], dict[str, float]]
Started = AbstractContextManager[tuple[Customers, Begun]]


def main(rounds: int = ROUNDS, seconds: float = LOAD_SECONDS) -> Record:
    """Each anew in each turn; first idle, then under load."""
    figures: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        servers = Servers(stack)
        subjects: dict[str, Callable[[], Started]] = {
            EMBEDDED: _embedded,
            DISTRIBUTED: partial(_distributed, servers),
            BULLMQ: _bullmq,
        }
        half = _half_load(servers)
        for _ in range(rounds):
            for name, start in subjects.items():
                for measure, figure in _turn(start, half, seconds).items():
                    figures.setdefault(name, {}).setdefault(measure, []).append(figure)
    rows = {name: Row(name, found) for name, found in figures.items()}
    notes = [f"Half load: {half:.1f} tasks a second."]
    title = "From a POST to a worker's hands"
    return Record("start", title, list(rows.values()), list(_goals(rows)), notes=notes)


def _goals(rows: Mapping[str, Row]) -> Iterator[Goal]:
    for moment in ("idle", "half load"):
        own, spread, theirs = (
            rows[name].median(f"p50 ms, {moment}") for name in (EMBEDDED, DISTRIBUTED, BULLMQ)
        )
        yield Goal(f"p50 embedded, {moment}", own, GOAL_MS, at_least=False, unit="ms")
        ratio = spread / theirs
        yield Goal(f"p50 distributed / BullMQ, {moment}", ratio, 1, at_least=False)


def _half_load(servers: Servers) -> float:
    with distributed(servers) as site:
        site.customers.capacity(WARMING_TASKS)
        return site.customers.capacity(CAPACITY_TASKS) / 2


def _turn(start: Callable[[], Started], rate: float, seconds: float) -> dict[str, float]:
    figures = {}
    with start() as (customers, begun):
        customers.capacity(WARMING_TASKS)
        begun(customers.one_by_one(WARMING_TASKS, PAUSE_SECONDS))
        moments = {
            "idle": lambda: customers.one_by_one(IDLE_TASKS, PAUSE_SECONDS),
            "half load": lambda: customers.steadily(rate, seconds),
        }
        for moment, post in moments.items():
            posted = post()
            at = begun(posted)
            waits = sorted(1000 * (at[each.task_id] - each.at) for each in posted)
            figures[f"p50 ms, {moment}"] = waits[len(waits) // 2]
            figures[f"p99 ms, {moment}"] = waits[min(len(waits) - 1, len(waits) * 99 // 100)]
    return figures


def _in_the_log(customers: Customers, posted: Sequence[Posted]) -> dict[str, float]:
    return {each.task_id: _dequeued(customers, each.task_id) for each in posted}


def _dequeued(customers: Customers, task_id: str, seconds: float = 60) -> float:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in customers.get(f"/api/tts/task/{task_id}/events")["events"]:
            if event["status"] == "dequeued":
                return datetime.fromisoformat(event["timestamp"]).timestamp()
        time.sleep(0.05)
    raise TimeoutError(f"nobody began task {task_id} within {seconds} s")


@contextmanager
def _embedded() -> Iterator[tuple[Customers, Begun]]:
    with embedded() as site:
        yield site.customers, partial(_in_the_log, site.customers)


@contextmanager
def _distributed(servers: Servers) -> Iterator[tuple[Customers, Begun]]:
    with distributed(servers) as site:
        yield site.customers, partial(_in_the_log, site.customers)


@contextmanager
def _bullmq() -> Iterator[tuple[Customers, Begun]]:
    redis, port = Redis(), free_port()
    worker = ["bullmq_worker.mjs", str(redis.port), str(1000 * PREDICT_SECONDS)]
    front = [str(javascript() / "bullmq.mjs"), str(port), str(redis.port)]
    try:
        with running(front, program="node") as process, _lines(["node", *worker]) as lines:
            wait_for(f"http://127.0.0.1:{port}/", process)
            wait_until(lambda: "ready" in lines, "the worker is ready")
            yield Customers(port), partial(_in_lines, lines)
    finally:
        redis.stop()


@contextmanager
def _lines(command: list[str]) -> Iterator[dict[str, float]]:
    """What a process prints: the second word of a line by its first, growing."""
    found: dict[str, float] = {}
    process = subprocess.Popen(command, cwd=javascript(), stdout=subprocess.PIPE, text=True)
    reader = threading.Thread(target=_read, args=(process, found))
    reader.start()
    try:
        yield found
    finally:
        process.terminate()
        process.wait()
        reader.join()


def _read(process: subprocess.Popen[str], found: dict[str, float]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        name, _, figure = line.strip().partition(" ")
        found[name] = float(figure or 0)


def _in_lines(lines: dict[str, float], posted: Sequence[Posted]) -> dict[str, float]:
    wait_until(lambda: all(each.task_id in lines for each in posted), "all jobs were begun")
    return lines
