"""Machines whose clocks are wrong, or step: the database's clock is the one that counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.clock import Clock
from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until
from tts.client import Client

DEADLINE_SECONDS = 120  # nearer than the clocks are wrong
RETRY_SECONDS = 1
SOON = timedelta(seconds=60)  # on a busy machine; a clock that is believed costs minutes, or fails


class Service:
    """A gateway and a relay on true clocks, and processors on two that are not."""

    def __init__(self, stack: ExitStack, env: dict[str, str]) -> None:
        self.sandbox, port, metrics = free_port(), free_port(), free_port()
        replicate = f"http://127.0.0.1:{self.sandbox}"
        env |= {
            "REPLICATE_API_TOKEN": "r8_test",
            "REPLICATE_BASE_URL": replicate,
            "TEMPLATE_BASE_URL": replicate,
            "REPLICATE_POLL_INTERVAL_MS": "100",
            "RETRY_INITIAL_INTERVAL_MS": str(RETRY_SECONDS * 1000),
            "TASK_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
            "TTS_CONCURRENCY": "1",
        }
        self.ahead, self.stepping = Clock(600), Clock()
        for clock in (self.ahead, self.stepping):
            stack.callback(clock.remove)

        def start(*arguments: str, fresh: bool = False, **more: str) -> Tts:
            process = Tts(*arguments, env={**env, **more}, fresh=fresh)
            stack.callback(process.stop)
            return process

        start("sandbox", "--port", str(self.sandbox)).wait_for(f"{replicate}/sandbox")
        start("gateway", "--port", str(port)).wait_for(f"http://127.0.0.1:{port}/health")
        start("relay")
        self.metrics = f"http://127.0.0.1:{metrics}"
        self.wrong = start("processor", fresh=True, METRICS_PORT=str(metrics), **self.ahead.env)
        self.wrong.wait_for(f"{self.metrics}/health")
        start("processor", fresh=True, **self.stepping.env)
        self.url = f"http://127.0.0.1:{port}"
        self.app = stack.enter_context(Client(f"http://127.0.0.1:{port}", trust_env=False))

    def timeline(self, task_id: str) -> list[dict[str, Any]]:
        """What happened to a task."""
        answer = httpx.get(f"{self.url}/api/tts/task/{task_id}/events", trust_env=False)
        events: list[dict[str, Any]] = answer.json()["data"]["events"]
        return events

    def fault(self, count: int) -> None:
        """Have so many requests for a transcript fail."""
        rule = {"route": "template_transcript", "fault": "status", "args": {"status": 503}}
        url = f"http://127.0.0.1:{self.sandbox}/sandbox/faults"
        httpx.post(url, json={**rule, "count": count}, trust_env=False).raise_for_status()


@pytest.fixture
def service(postgres, rabbitmq, tmp_path: Path) -> Iterator[Service]:
    """On fresh databases, with the audio in a folder of all."""
    env = {
        "EVENT_STORE_URL": postgres.create_database(),
        "RABBITMQ_URL": rabbitmq.create_vhost(),
        "DATA_DIR": str(tmp_path),
    }
    with ExitStack() as stack:
        yield Service(stack, env)


@pytest.mark.cluster
def test_tasks_end_in_time_and_their_history_is_true(service: Service):
    """Ten minutes ahead, and an hour back while retries wait: nothing is late, early or refused."""
    service.fault(count=4)
    began = datetime.now(UTC)
    tasks = [service.app.generate(f"template{n}", "你好。").task_id for n in range(6)]

    def statuses() -> set[str]:
        return {service.app.task(task).status for task in tasks}

    wait_until(lambda: "waiting_retry" in statuses(), "a retry waits", 30)
    service.stepping.step(-3600)
    wait_until(lambda: statuses() == {"succeeded"}, "all are done", SOON.total_seconds())
    for task in tasks:
        events = service.timeline(task)
        times = [datetime.fromisoformat(event["timestamp"]) for event in events]
        assert began - timedelta(seconds=1) < times[0]
        assert times[-1] < datetime.now(UTC) + timedelta(seconds=1)
        assert all(later - sooner > timedelta(seconds=-1) for sooner, later in pairwise(times))
        assert all(event["lasted"] is None or event["lasted"] >= 0 for event in events)

    health = httpx.get(f"{service.metrics}/health", trust_env=False).json()
    assert any("600.0 s ahead of the database's" in note for note in health["data"]["notes"])
    assert "600.0 s ahead of the database's" in service.wrong.log
    metrics = httpx.get(f"{service.metrics}/metrics", trust_env=False).text
    (skew,) = re.findall(r"^tts_clock_skew_seconds (\S+)", metrics, re.MULTILINE)
    assert float(skew) == pytest.approx(600, abs=0.5)
