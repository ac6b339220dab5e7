"""Outages while tasks run: what we depend on goes away under load and comes back.

``CHAOS_TASKS`` and ``CHAOS_SECONDS`` set how many tasks run and how long each outage lasts; the
defaults are for every day. ``make chaos`` takes 500 and 20, and outages that wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.chaos import checker, evidence
from tests.chaos.app import FINAL, App, Reader
from tests.chaos.deployment import answers, distributed
from tests.chaos.run import KEPT
from tests.chaos.servers import Servers
from tests.services.process import cpu_seconds

TASKS = int(os.environ.get("CHAOS_TASKS", "24"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "3"))
CPU_SHARE = 0.5  # of one core, for each process that waits; one that spins takes all it can get
RECOVERY_SECONDS = 25.0  # ten on a machine that does nothing else


@dataclass(frozen=True)
class Outage:
    """What goes away: a server of ours, or what the sandbox refuses."""

    name: str
    server: str = ""
    end: str = "halt"
    rules: list[dict[str, Any]] = field(default_factory=list)
    healthy: bool = True  # what the gateway is to say meanwhile


def refusal(status: int, **args: Any) -> list[dict[str, Any]]:
    """Replicate refuses every creation."""
    return [{"route": "create", "fault": "status", "args": {"status": status, **args}}]


TEMPLATES = [
    {"route": route, "fault": "reset_before"} for route in ("template_audio", "template_transcript")
]
DAILY = [
    Outage("postgres", "postgres", healthy=False),
    Outage("throttled", rules=refusal(429, retry_after=1)),
]
THOROUGH = [
    Outage("s3", "s3"),  # a gateway does without it; the processors report it
    Outage("rabbitmq", "rabbitmq"),
    Outage("rabbitmq-wiped", "rabbitmq", end="wipe"),
    Outage("templates", rules=TEMPLATES),
    Outage("outputs", rules=[{"route": "delivery", "fault": "reset_before"}]),
    Outage("out-of-credit", rules=refusal(402)),
    Outage("token-revoked", rules=refusal(401)),
]
OUTAGES = [pytest.param(outage, id=outage.name) for outage in DAILY]
OUTAGES += [pytest.param(outage, id=outage.name, marks=pytest.mark.chaos) for outage in THOROUGH]


async def load(app: App, name: str) -> None:
    """Post tasks steadily, before, during and after the outage; returns when all are accepted."""
    async with asyncio.TaskGroup() as group:
        for n in range(TASKS):
            group.create_task(app.speak(f"{name} {n}。", key=f"{name}-{n}"))
            await asyncio.sleep(2 * SECONDS / TASKS)


async def all_over(app: App, reader: Reader) -> None:
    """Return when the stream has told of every task's end, or has had the time to."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3 * SECONDS + 60):
            while len({t for _, t, status in reader.seen if status in FINAL}) < len(app.accepted):
                await asyncio.sleep(0.2)


@pytest.fixture
def deployment(nursery, servers):
    deployment = distributed(
        nursery,
        servers.postgres.create_database(),
        servers.rabbitmq.url,
        servers.s3,
        # As in production, nobody retries hundreds of tasks each second. All of them may be waiting
        # for their next try when an outage ends: the recovery takes no less than that.
        RETRY_INITIAL_INTERVAL_MS="5000",
        RETRY_MAX_INTERVAL_MS="5000",
    )
    deployment.start_all()
    yield deployment
    deployment.stop()


@pytest.mark.timeout(600 + 10 * SECONDS)
@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage_loses_nothing_and_is_over_when_it_is_over(
    outage, deployment, servers, record_property, capsys
):
    """Every task succeeds once, nothing is paid twice, and nobody spins meanwhile."""
    reader = Reader(deployment.gateways)
    async with App(deployment.gateways, deployment.replicate) as app, asyncio.TaskGroup() as group:
        reading = group.create_task(reader.run())
        loading = group.create_task(load(app, outage.name))
        await asyncio.sleep(SECONDS / 2)
        shares = await during(outage, deployment, servers, app)
        recovery = await recovered(reader)
        await asyncio.to_thread(healthy_again, deployment)
        await loading
        await all_over(app, reader)
        log = evidence.read_log(deployment.env["EVENT_STORE_URL"])
        await reader.caught_up(log[-1].position)
        reading.cancel()
    worst = max(shares, key=shares.__getitem__)
    line = (
        f"{outage.name}: recovered in {recovery:.1f} s, at most {shares[worst]:.0%} CPU ({worst})"
    )
    record_property("outage", line)
    with capsys.disabled():
        print(f"\n  {line}")  # noqa: T201 -- the measurement is wanted in the run's output

    assert verdict(outage, deployment, app, reader, log) == []
    assert {name: share for name, share in shares.items() if share > CPU_SHARE} == {}
    assert recovery < RECOVERY_SECONDS
    await asyncio.to_thread(nothing_left, servers.rabbitmq)


async def during(outage, deployment, servers: Servers, app: App) -> dict[str, float]:
    """Have the outage; returns which share of a core each of our processes used in it."""
    end: Callable[[], object] = lambda: None  # noqa: E731
    if outage.server:
        server = getattr(servers, outage.server)
        await asyncio.to_thread(server.halt)
        end = server.start
        if outage.end == "wipe":
            end = partial(server.start, wiped=True)
    await app.sandbox("PUT", "faults", outage.rules)
    began, used = time.monotonic(), usage(deployment)
    while time.monotonic() < began + SECONDS:
        assert await asyncio.to_thread(says, deployment, healthy=outage.healthy)
        await asyncio.sleep(0.3)
    seconds = time.monotonic() - began
    shares = {name: (now - used[name]) / seconds for name, now in usage(deployment).items()}
    await asyncio.to_thread(end)
    await app.sandbox("DELETE", "faults")
    return shares


def usage(deployment) -> dict[str, float]:
    """The CPU seconds of each of our processes."""
    return {name: cpu_seconds(child.pid) for name, child in deployment.children.items()}


def says(deployment, *, healthy: bool) -> bool:
    """Whether every gateway says that it is, or is not, healthy."""
    return all(answers(f"{url}/health") is healthy for url in deployment.gateways)


def healthy_again(deployment) -> None:
    """Return when the gateways say so."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not deployment.healthy():
        assert time.monotonic() < deadline, "the gateway is still unhealthy"
        time.sleep(0.1)


async def recovered(reader: Reader) -> float:
    """The seconds until a task succeeds again; call it when the outage is over."""
    began, seen = time.monotonic(), len(reader.seen)
    while not any(status == "succeeded" for _, _, status in reader.seen[seen:]):
        assert time.monotonic() < began + 120, "no task has succeeded since"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def verdict(outage, deployment, app, reader, log) -> list[str]:
    """What is wrong after all."""
    texts = evidence.read_texts(deployment.env["EVENT_STORE_URL"])
    every = evidence.read_journal(deployment.journal)
    journal = {
        prediction: record
        for prediction, record in every.items()
        if record["input"]["tts_text"].startswith(f"{outage.name} ")
    }
    tasks = checker.by_task(log)
    wanted = {task_id: {"succeeded"} for task_id in tasks}
    found = checker.nothing_lost_or_invented(tasks, app.accepted, texts)
    found += checker.final_exactly_once(tasks, wanted)
    found += checker.paid_once(tasks, texts, journal)
    found += checker.nothing_runs(journal, now=time.time())
    found += checker.streams_complete(log, {"resuming": reader})
    if len(journal) != TASKS:
        found.append(f"{len(journal)} predictions were paid for {TASKS} tasks")
    found += [
        f"task {entry.task_id} used an attempt up"
        for entry in log
        if entry.kind == "succeeded" and entry.state["attempt"] != 1
    ]
    return found


def nothing_left(rabbitmq) -> None:
    """Return when the queues are empty."""
    deadline = time.monotonic() + 60
    while left := [
        queue
        for queue in rabbitmq.list_queues("/")
        if queue["messages"] and queue["name"] not in KEPT
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.3)
