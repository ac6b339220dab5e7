"""Relay, processor and projector, each a process of its own, tell the truth about themselves."""

from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until


@pytest.fixture
def parts(postgres, rabbitmq):
    """Starts a part and returns the URL of its health."""
    env = {
        "EVENT_STORE_URL": postgres.create_database(),
        "RABBITMQ_URL": rabbitmq.create_vhost(),
        "REPLICATE_API_TOKEN": "r8_test",
    }
    with ExitStack() as stack:

        def start(part: str) -> str:
            port = free_port()
            process = Tts(part, env={**env, "METRICS_PORT": str(port)})
            stack.callback(process.stop)
            url = f"http://127.0.0.1:{port}"
            process.wait_for(f"{url}/metrics")
            return url

        yield start


def health(url: str) -> httpx.Response:
    return httpx.get(f"{url}/health", timeout=60, trust_env=False)


def says(url: str, status: int) -> Any:
    """Wait until the part's health has the status; what it says then."""

    def answer() -> Any:
        found = health(url)
        return found.json() if found.status_code == status else None

    return wait_until(answer, f"{url} says {status}")


def plays(url: str, role: str) -> None:
    """Wait until it says that it leads, or stands by."""
    wait_until(lambda: health(url).json()["data"].get("role") == role, f"{url} is {role}")


def test_who_needs_the_broker_is_unhealthy_while_it_is_away(parts, rabbitmq):
    """They say 503 and name the queue, and 200 when it is back; the projector does not mind."""
    needing = [parts("relay"), parts("processor")]
    projector = parts("projector")
    for url in (*needing, projector):
        says(url, 200)
    rabbitmq.halt()
    for url in needing:
        answer = says(url, 503)
        assert answer["code"] == "unhealthy"
        assert answer["error"].startswith("queue: not ready")
        assert answer["data"]["parts"]["store"] == "ok"
    says(projector, 200)
    rabbitmq.start()
    for url in needing:
        says(url, 200)


def test_one_leads_and_the_other_is_ready_to(parts):
    """A standby is healthy, and says that it is one; both show their metrics."""
    leader = parts("projector")
    plays(leader, "leading")
    standby = parts("projector")
    plays(standby, "standing by")
    says(standby, 200)
    metrics = httpx.get(f"{standby}/metrics", trust_env=False)
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert "process_cpu_seconds_total" in metrics.text


def test_a_port_that_is_taken_is_named(parts):
    """The process does not start without the eyes that were asked for."""
    taken = parts("projector").rpartition(":")[2]
    second = Tts("projector", env={"METRICS_PORT": taken})
    try:
        wait_until(lambda: "METRICS_PORT" in second.log, "it says why")
    finally:
        second.stop()
