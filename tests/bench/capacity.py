"""What a task and a stream cost, and what that means for loads that this machine cannot have.

Figures are CPU seconds and bytes, which other work on the machine hardly changes; only the commits
a second are wall time. ``ops/capacity.md`` is written from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from tests.bench import capacity_leaders, capacity_streams, capacity_task
from tests.bench.capacity_plan import StreamCost, TaskCost, bounds, table
from tests.bench.growth_log import _append, _life
from tests.services.postgres import Postgres
from tests.services.stores import Backend
from tts.ports.log import Recorded

LIVES = 20_000
AT_ONCE = 1000
STREAMS = 100_000
WAITING = 5_000
READ_AT_ONCE = 2_000


def main(lives: int = LIVES, streams: int = STREAMS) -> None:
    """Print everything."""
    task = capacity_task.measure()
    _say_task(task)
    kib, open_ms, heartbeat_us = capacity_streams.of_connections()
    event_us, frame_us, batched = asyncio.run(_simulate(lives, streams))
    task = replace(task, batched_ms=batched)
    stream = StreamCost(kib, open_ms, heartbeat_us, frame_us, event_us)
    _print(
        f"a stream: {kib:.1f} KiB, {open_ms:.2f} ms to open, {heartbeat_us:.1f} us a heartbeat, "
        f"{frame_us:.1f} us a frame; an event that a gateway hears of: {event_us:.1f} us"
    )
    _print(table(task, stream))
    for what, rate in bounds(task, stream).items():
        _print(f"{what:>40}: {rate:12,.0f} tasks a minute fill one core")


async def _simulate(lives: int, streams: int) -> tuple[float, float, dict[str, float]]:
    """Microseconds of the hub for an event of nobody's and for a frame; and ``batched_ms``.

    The log is a real one: ``lives`` tasks are appended as fast as the store takes them.
    """
    postgres = Postgres(fsync=True)
    try:
        url = postgres.create_database()
        async with Backend(url, postgres).store() as store:
            events = await _fill(store, postgres, lives)
            backend, end = Backend(url, postgres), await store.position()
            own, server = await asyncio.to_thread(
                capacity_leaders.of_the_projector, postgres, backend, end
            )
            _print(
                f"projector with {events} events to do: {own / lives * 1000:.2f} ms a task, "
                f"{server / lives * 1000:.2f} ms of PostgreSQL"
            )
            batched = {"projector": own / lives * 1000}
            own, server, broker = await asyncio.to_thread(
                capacity_leaders.of_the_relay, postgres, WAITING
            )
            _print(
                f"relay with {WAITING} tasks to do: {own / WAITING * 1000:.2f} ms a task, "
                f"{server / WAITING * 1000:.2f} ms of PostgreSQL, "
                f"{broker / WAITING * 1000:.2f} ms of RabbitMQ"
            )
            batched["relay"] = own / WAITING * 1000
            start = end // 2
            heard = await _after(store, start)
            tasks = list(dict.fromkeys(e.task_id for e in heard))
            costs = {}
            for kind, ids, count in (
                ("nobody listens", [], 0),
                ("others' streams", [], streams),
                ("each task has its stream", tasks, streams),
            ):
                cpu, frames = await capacity_streams.of_the_hub(store, start, ids, count)
                costs[kind] = cpu
                _print(
                    f"hub, {count} streams, {kind}: {cpu / len(heard) * 1e6:.1f} us an event, "
                    f"{frames} frames"
                )
                last = frames
    finally:
        postgres.stop()
    foreign = costs["others' streams"]
    concerned = costs["each task has its stream"] - foreign
    return foreign / len(heard) * 1e6, concerned / last * 1e6, batched


async def _after(store: Any, position: int) -> list[Recorded]:
    """All events behind the position."""
    found: list[Recorded] = []
    while batch := await store.read(position, READ_AT_ONCE):
        found += batch
        position = batch[-1].position
    return found


async def _fill(store: Any, postgres: Postgres, lives: int) -> int:
    """Append them; print what that took."""
    random = Random(1)
    life_of = [_life(random, n) for n in range(lives)]
    events = sum(map(len, life_of))
    server, own, began = (
        capacity_task.tree_seconds(postgres._process.pid),
        time.process_time(),
        (time.monotonic()),
    )
    for batch in _batches(life_of):
        await asyncio.gather(*(_append(store, life) for life in batch))
    wall = time.monotonic() - began
    own = time.process_time() - own
    server = capacity_task.tree_seconds(postgres._process.pid) - server
    _print(
        f"log: {events} events of {lives} tasks in {wall:.1f} s, {events / wall:,.0f} a second; "
        f"{own / events * 1e6:.0f} us of the writer and {server / events * 1e6:.0f} us of "
        "PostgreSQL an event"
    )
    return events


def _batches(items: list[list]) -> Iterable[list[list]]:
    return (items[n : n + AT_ONCE] for n in range(0, len(items), AT_ONCE))


def _say_task(cost: TaskCost) -> None:
    _print(
        f"a task: {cost.events:.1f} events, {cost.log_bytes:.0f} bytes in the log, "
        f"{cost.list_bytes:.0f} in the lists, {cost.wal_bytes:.0f} of WAL, "
        f"{cost.audio_bytes:.0f} of audio; {cost.connections} connections of PostgreSQL"
    )
    for name, ms in cost.cpu_ms.items():
        _print(f"{name:>12}: {ms:6.2f} ms a task, {cost.idle_share[name]:6.2%} of a core at rest")


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201
