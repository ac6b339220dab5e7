"""What is needed for some load, from what one task and one stream cost: the formulas, and a table.

All of it is multiplication: a load is a rate of tasks and a number of streams. Where one process
has to do something for the whole service (the relay and the projector that lead, the primary of
PostgreSQL), what it can do with one core, or what a disk and one lock let it do, is the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

BUSY = 0.6  # how much of a core is planned with
GATEWAY_STREAMS = 10_000  # of one process
PREDICTION_SECONDS = 6.0  # of a short text at Replicate
CREATES_PER_MINUTE = 600  # of an account, unless Replicate has agreed to more
PLACES = 100  # TTS_CONCURRENCY of a large deployment's processors
HEARTBEAT_SECONDS = 15
DAY = 86_400


@dataclass(frozen=True)
class TaskCost:
    """Of one short text: events, bytes, CPU of each process, and what there is without any.

    ``batched_ms`` is what those that lead take where much waits for them, and is done together.
    """

    events: float
    log_bytes: float
    list_bytes: float
    wal_bytes: float
    audio_bytes: float
    cpu_ms: Mapping[str, float]
    idle_share: Mapping[str, float]
    connections: float
    batched_ms: Mapping[str, float]


@dataclass(frozen=True)
class StreamCost:
    """Of one open stream, and of one event that a gateway hears of."""

    kib: float
    open_ms: float
    heartbeat_us: float
    frame_us: float
    event_us: float


# By `python -m tests.bench capacity`, on two cores that others used, too.
TASK = TaskCost(
    events=8.0,
    log_bytes=3359,
    list_bytes=2294,
    wal_bytes=13_726,
    audio_bytes=309_164,
    cpu_ms={
        "gateway": 4.49,
        "relay": 2.00,
        "processor": 18.59,
        "projector": 4.24,
        "PostgreSQL": 7.81,
        "RabbitMQ": 1.72,
    },
    idle_share={
        "gateway": 0.006,
        "relay": 0.010,
        "processor": 0.005,
        "projector": 0.006,
        "PostgreSQL": 0.005,
        "RabbitMQ": 0.009,
    },
    connections=28,
    batched_ms={"relay": 1.37, "projector": 0.16},
)
STREAM = StreamCost(kib=8.2, open_ms=0.35, heartbeat_us=2.5, frame_us=4.4, event_us=11.6)


@dataclass(frozen=True)
class Load:
    """So many texts a minute, and open streams; each text is heard on one of them."""

    tasks_per_minute: float
    streams: float


LOADS = (Load(10, 100), Load(1_000, 10_000), Load(100_000, 100_000), Load(6_000, 1_000_000))


def needs(load: Load, task: TaskCost, stream: StreamCost) -> dict[str, str]:
    """Rows of the table: what it is, and how much of it the load takes."""
    rate = load.tasks_per_minute / 60
    in_flight = rate * PREDICTION_SECONDS
    gateways = gateways_for(load, task, stream)
    cores = {part: rate * ms / 1000 for part, ms in task.cpu_ms.items()}
    for part, ms in task.batched_ms.items():  # who is busy finds more to do at once
        cores[part] = min(cores[part], max(BUSY, rate * ms / 1000))
    return {
        "events a second": _number(rate * task.events),
        "predictions in flight": _number(in_flight),
        "Replicate accounts of the usual limit": _number(
            math.ceil(load.tasks_per_minute / CREATES_PER_MINUTE)
        ),
        "gateways": _number(gateways),
        "memory of all streams": _bytes(load.streams * stream.kib * 1024),
        "processors": _number(
            max(2, math.ceil(max(cores["processor"] / BUSY, in_flight / PLACES)))
        ),
        "cores of the relay that leads": f"{cores['relay']:.2f}",
        "cores of the projector that leads": f"{cores['projector']:.2f}",
        "cores of PostgreSQL": f"{cores['PostgreSQL']:.2f}",
        "cores of RabbitMQ": f"{cores['RabbitMQ']:.2f}",
        "log and lists, a day": _bytes(rate * DAY * (task.log_bytes + task.list_bytes)),
        "WAL, a day": _bytes(rate * DAY * task.wal_bytes),
        "audio, a day": _bytes(rate * DAY * task.audio_bytes),
    }


def gateways_for(load: Load, task: TaskCost, stream: StreamCost) -> int:
    """How many it takes, two at least: each hears of every event, whoever's it is.

    A gateway's core = its share of tasks, frames and heartbeats + all events. So n gateways need
    n × BUSY ≥ shared + n × heard, or n ≥ shared / (BUSY - heard).
    """
    rate = load.tasks_per_minute / 60
    frames = rate * task.events
    shared = (
        rate * task.cpu_ms["gateway"] / 1000
        + frames * stream.frame_us / 1e6
        + load.streams / HEARTBEAT_SECONDS * stream.heartbeat_us / 1e6
    )
    heard = rate * task.events * stream.event_us / 1e6
    if heard >= BUSY:
        return -1
    return max(2, math.ceil(shared / (BUSY - heard)), math.ceil(load.streams / GATEWAY_STREAMS))


def bounds(task: TaskCost, stream: StreamCost) -> dict[str, float]:
    """Tasks a minute at which one core is full, of what there is but one of."""
    return {
        "the relay that leads": 60_000 / task.batched_ms["relay"],
        "the projector that leads": 60_000 / task.batched_ms["projector"],
        "each gateway, by what it hears": 60e6 / (task.events * stream.event_us),
    }


def table(task: TaskCost = TASK, stream: StreamCost = STREAM) -> str:
    """In Markdown, a column for each load."""
    heads = [f"{_number(x.tasks_per_minute)} / min, {_number(x.streams)} streams" for x in LOADS]
    columns = [needs(load, task, stream) for load in LOADS]
    rows = [[row, *(column[row] for column in columns)] for row in columns[0]]
    lines = [["", *heads], ["---"] * (len(heads) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _bytes(value: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            return f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError
