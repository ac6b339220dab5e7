"""What a relay and a projector do in a second of CPU when much waits for them: both lead alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.bench.capacity_task import tree_seconds
from tests.bench.processes import running
from tests.builders import application
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.process import cpu_seconds
from tests.services.rabbitmq import RabbitMQ
from tests.services.stores import Backend

SECONDS = 600
START_CPU_SECONDS = 1.2  # until a process has imported everything
QUEUED = "SELECT count(*) FROM stored_events WHERE topic = 'tts.task.queued'"
BEHIND = "SELECT min(position) FROM read_models"


def of_the_projector(postgres: Postgres, backend: Backend, end: int) -> tuple[float, float]:
    """CPU seconds of a projector, and of PostgreSQL, until all lists are at ``end``."""

    def is_there() -> bool:
        made = backend.sql("SELECT to_regclass('read_models')")[0][0]
        return made is not None and (backend.sql(BEHIND)[0][0] or 0) >= end

    return _until(is_there, "projector", postgres, {"EVENT_STORE_URL": backend.url})


def of_the_relay(postgres: Postgres, tasks: int) -> tuple[float, float, float]:
    """CPU seconds of a relay, of PostgreSQL and of RabbitMQ until all ``tasks`` are queued."""
    backend, rabbitmq = Backend(postgres.create_database(), postgres), RabbitMQ()
    try:
        asyncio.run(_request(backend, tasks))
        env = {
            "EVENT_STORE_URL": backend.url,
            "RABBITMQ_URL": rabbitmq.create_vhost(),
            "DISPATCH_WINDOW": str(tasks),
        }
        before = tree_seconds(rabbitmq._process.pid)
        own, server = _until(lambda: backend.sql(QUEUED)[0][0] >= tasks, "relay", postgres, env)
        return own, server, tree_seconds(rabbitmq._process.pid) - before
    finally:
        rabbitmq.stop()


async def _request(backend: Backend, tasks: int) -> None:
    async with backend.store() as store:
        app = application(store)
        await asyncio.gather(
            *(app.request(template_id="t", text=f"第{n}句话") for n in range(tasks))
        )


def _until(
    done: Callable[[], bool], part: str, postgres: Postgres, env: dict[str, str]
) -> tuple[float, float]:
    """What the part, but for its start, and PostgreSQL have used by then."""
    server = tree_seconds(postgres._process.pid)
    with running(["-m", "tts", part], env | {"METRICS_PORT": str(free_port())}) as process:
        deadline = time.monotonic() + SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the {part} did not do it within {SECONDS} s")
            time.sleep(0.2)
        own = cpu_seconds(process.pid) - START_CPU_SECONDS
    return own, tree_seconds(postgres._process.pid) - server
