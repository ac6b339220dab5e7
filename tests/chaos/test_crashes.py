"""The crash matrix: kill -9 around every append and every call to the resources.

A *life* is a process that is ordered to die at one point. In each life a handful of tasks is
requested, which together reach every point; the next life begins when this one has died, and finds
everything that the earlier ones have left behind. In the end there is peace, and everything must
have ended right.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from tests.chaos import checker, evidence
from tests.chaos.app import App, Reader
from tests.chaos.deployment import distributed, embedded

GATEWAY = ["append tts.task.requested", "append tts.task.retry_requested"]
GATEWAY += ["append tts.task.cancel_requested"]
RELAY = ["append tts.task.queued", "publish work", "publish retry", "publish dead_letter"]
RELAY += ["checkpoint relay"]
PROCESSOR = [
    f"append tts.task.{kind}"
    for kind in (
        "dequeued",
        "processing_started",
        "prediction_created",
        "download_started",
        "download_completed",
        "succeeded",
        "retry_scheduled",
        "retry_started",
        "failed",
        "canceled",
    )
]
PROCESSOR += ["fetch", "create", "find", "get", "cancel", "download", "put"]
POINTS = [
    f"{moment} {point}" for point in GATEWAY + RELAY + PROCESSOR for moment in ("before", "after")
]
# In processes of their own, the points where two of them or a server of ours are involved.
DISTRIBUTED = {
    "gateway-1": ["after append tts.task.requested"],
    "relay-1": ["before publish work", "after publish work", "after checkpoint relay"],
    "processor-1": [
        "after append tts.task.processing_started",
        "after create",
        "after append tts.task.prediction_created",
        "after put",
        "after append tts.task.succeeded",
    ],
}
LIFE_SECONDS = 90
ENDS = {
    "plain": {"succeeded"},
    "lost": {"succeeded"},
    "flaky": {"succeeded"},
    "missing": {"failed"},
    "stopped": {"canceled"},
}


class Lives:
    """Tasks of every kind, requested in each life and seen through to their end."""

    def __init__(self, app: App, group: asyncio.TaskGroup) -> None:
        self._app = app
        self._group = group
        self.kinds: dict[str, str] = {}

    async def prepare(self, life: int) -> None:
        """Tell the sandbox what is to go wrong with this life's tasks."""
        flaky = {"route": "template_transcript", "fault": "status", "args": {"status": 503}}
        rules = [
            {"route": "create", "fault": "reset_after", "match": f"lost {life}$", "nth": 1},
            {**flaky, "match": f"^flaky{life}$", "count": 2},
            {"route": "prediction", "fault": "stuck", "match": f"stopped {life}$"},
        ]
        await self._app.sandbox("POST", "faults", rules)

    def begin(self, life: int) -> None:
        """Request this life's tasks; the group ends when each has had what its kind is to have."""
        for kind in ENDS:
            self._group.create_task(self._see_through(kind, life))

    async def _see_through(self, kind: str, life: int) -> None:
        app = self._app
        template = f"{kind}{life}" if kind in {"flaky", "missing"} else "template1"
        task_id = await app.speak(f"{kind} {life}", template=template, key=f"{kind}-{life}")
        self.kinds[task_id] = kind
        patience = 200.0  # from its request on, through all the lives that come after it
        if kind == "stopped":
            await app.reached(task_id, "prediction_created", seconds=patience)
            await app.order("/api/tts/cancel", task_id)
        if kind == "missing":
            await app.reached(task_id, "failed", seconds=patience)
            await app.order("/api/tts/retry", task_id)
            await app.reached(task_id, "retrying", seconds=patience)
        await app.over(task_id, seconds=patience)


@contextlib.asynccontextmanager
async def followed(deployment):
    """An app, and a reader of the stream that lives through everything; checked in the end."""
    reader = Reader(deployment.gateways)
    async with App(deployment.gateways, deployment.replicate) as app:
        reading = asyncio.create_task(reader.run())
        try:
            yield app, reader
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            deployment.stop()


async def died(child, point: str) -> None:
    """Return when the child is dead by its order, and by nothing else."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIFE_SECONDS):
            while child.alive:
                await asyncio.sleep(0.01)
    assert child.died_at == point, f"{child.died_at} instead of {point}: {child.log[-3000:]}"


async def verdict(url, deployment, app, lives, reader) -> list[str]:
    """Everything that must hold in the end."""
    log = evidence.read_log(url)
    await reader.caught_up(log[-1].position)
    texts = evidence.read_texts(url)
    journal = evidence.read_journal(deployment.journal)
    tasks = checker.by_task(log)
    stats = await app.sandbox("GET", "stats")
    wanted = {task_id: ENDS[kind] for task_id, kind in lives.kinds.items()}
    found = checker.nothing_lost_or_invented(tasks, app.accepted, texts)
    found += checker.final_exactly_once(tasks, wanted)
    found += checker.cancellations_obeyed(tasks)
    found += checker.paid_once(tasks, texts, journal)
    found += checker.nothing_runs(journal, now=time.time())
    found += checker.streams_complete(log, {"resuming": reader})
    for task_id, kind in lives.kinds.items():
        paid = stats["creations"]["by_text"].get(texts[task_id], 0)
        if paid != (kind != "missing"):
            found.append(f"{paid} predictions were paid for task {task_id} ({kind})")
    return found


async def test_a_crash_at_any_point_of_the_embedded_service_costs_nothing(nursery, tmp_path):
    """Every task ends right and is paid for once, and the stream shows no gap and no duplicate."""
    deployment = embedded(nursery, tmp_path / "data")
    async with followed(deployment) as (app, reader):
        async with asyncio.TaskGroup() as group:
            lives = Lives(app, group)
            for life, point in enumerate(POINTS):
                await lives.prepare(life)
                child = deployment.start("up", dies=point)
                lives.begin(life)
                await died(child, point)
            deployment.start("up")
        url = f"sqlite:///{tmp_path / 'data' / 'tts.db'}"
        assert await verdict(url, deployment, app, lives, reader) == []


async def test_a_crash_of_one_process_among_others_costs_nothing(nursery, postgres, rabbitmq, s3):
    """The same with gateway, relay, projector and processor on PostgreSQL, RabbitMQ and S3."""
    url = postgres.create_database()
    deployment = distributed(nursery, url, rabbitmq.create_vhost(), s3)
    async with followed(deployment) as (app, reader):
        deployment.start_all()
        async with asyncio.TaskGroup() as group:
            lives = Lives(app, group)
            life = 0
            for name, points in DISTRIBUTED.items():
                for point in points:
                    life += 1
                    await lives.prepare(life)
                    deployment.children[name].kill()
                    child = deployment.start(name, dies=point)
                    lives.begin(life)
                    await died(child, point)
                deployment.start(name)
        assert await verdict(url, deployment, app, lives, reader) == []
