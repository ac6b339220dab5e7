"""Machines whose clocks are wrong share the database's time."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import httpx
import pytest

from tests.chaos import evidence
from tests.chaos.app import App
from tests.chaos.deployment import distributed
from tests.chaos.nursery import Nursery
from tests.services.clock import Clock

pytestmark = pytest.mark.cluster

LOST_REPLY = {"route": "create", "fault": "reset_after", "nth": 1}


@pytest.fixture
def clocks():
    """Those of two machines, ahead and behind: S3 itself refuses more than a quarter of an hour."""
    clocks = {"1": Clock(600), "2": Clock(-400)}
    yield clocks
    for clock in clocks.values():
        clock.remove()


@pytest.fixture
def deployment(clocks, tmp_path, postgres, rabbitmq, s3):
    nursery = Nursery(tmp_path / "run", clocks["1"].env)
    broker, store = rabbitmq.create_vhost(), postgres.create_database()
    deployment = distributed(nursery, store, broker, s3, each=2, clocks=clocks)
    deployment.start_all()
    yield deployment
    deployment.stop()
    nursery.stop()


async def test_a_wrong_clock_hides_no_prediction_and_ends_no_task(deployment, clocks):
    """One whose reply was lost is found and not paid for again, though the clocks step meanwhile.

    Everything that is written down bears the true time, and health names the wrong machines.
    """
    async with App(deployment.gateways, deployment.replicate) as app:
        await app.sandbox("POST", "faults", [{**LOST_REPLY, "match": f"{n}$"} for n in range(4)])
        began = time.time()
        tasks = [await app.speak(f"听 {n}", key=f"clock-{n}") for n in range(4)]
        for task in tasks:
            await app.reached(task, "processing")
        for clock in clocks.values():
            clock.step(-300)
        assert {await app.over(task) for task in tasks} == {"succeeded"}
        stats = await app.sandbox("GET", "stats")
    assert stats["creations"]["by_text"] == {f"听 {n}": 1 for n in range(4)}
    log = evidence.read_log(deployment.env["EVENT_STORE_URL"])
    times = [datetime.fromisoformat(entry.state["timestamp"]).timestamp() for entry in log]
    assert began - 1 < min(times) <= max(times) < time.time() + 1
    for notes in await asyncio.to_thread(notes_of, deployment):
        assert any("the clock of this machine is" in note for note in notes)


def notes_of(deployment) -> list[list[str]]:
    """What each gateway has noted."""
    urls = [f"{url}/health" for url in deployment.gateways]
    return [httpx.get(url, trust_env=False).json()["data"]["notes"] for url in urls]
