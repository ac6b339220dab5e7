"""What people see of dead letters in RabbitMQ's management page, and what they may do to them."""

from contextlib import ExitStack

import httpx
import pytest

from tests.services.ports import free_port
from tests.services.rabbitmq import RabbitMQ
from tests.services.tts import Tts
from tests.waiting import wait_until
from tts.client import Client

BROKEN = {"route": "prediction", "fault": "failed", "args": {"error": "out of luck"}}


class Page:
    """The queue of dead letters, through the API that the management page itself uses."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/queues/%2F/tts_dead_letter_queue/get"

    def letters(self, *, take: bool = False) -> list[dict]:
        """The messages as "Get messages" shows them; ``take`` removes them."""
        mode = "ack_requeue_false" if take else "ack_requeue_true"
        answer = httpx.post(
            self._url,
            json={"count": 10, "ackmode": mode, "encoding": "auto"},
            auth=("guest", "guest"),
            trust_env=False,
        )
        # Right after the start the page may know neither the plugin's login nor the queue.
        return answer.json() if answer.is_success else []


@pytest.fixture
def broker():
    server = RabbitMQ(management=True)
    yield server
    server.stop()


@pytest.fixture
def deployment(postgres, broker, tmp_path):
    """A client of the whole deployment, and the sandbox's list of faults."""
    port, sandbox_port = free_port(), free_port()
    url, replicate = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
    env = {
        "EVENT_STORE_URL": postgres.create_database(),
        "RABBITMQ_URL": broker.url,
        "DATA_DIR": str(tmp_path),
        "PORT": str(port),
        "SANDBOX_PORT": str(sandbox_port),
        "REPLICATE_API_TOKEN": "r8_test",
        "REPLICATE_BASE_URL": replicate,
        "TEMPLATE_BASE_URL": replicate,
        "REPLICATE_POLL_INTERVAL_MS": "100",
        "RETRY_MAX_ATTEMPTS": "1",
    }
    with ExitStack() as stack:

        def start(name: str) -> Tts:
            process = Tts(name, env=env)
            stack.callback(process.stop)
            return process

        start("sandbox").wait_for(f"{replicate}/sandbox")
        for name in ("relay", "processor", "projector"):
            start(name)
        start("gateway").wait_for(f"{url}/health")
        yield stack.enter_context(Client(url, trust_env=False)), f"{replicate}/sandbox/faults", url


def test_a_dead_letter_says_why_and_can_be_taken_out_without_harm(deployment, broker):
    """The message is for people: without it the task is listed, redriven, and succeeds."""
    app, faults, url = deployment
    httpx.put(faults, json=[BROKEN], trust_env=False).raise_for_status()
    task_id = app.generate("template1", "你好").task_id
    assert list(app.events(task_id))[-1].status == "failed"

    page = Page(broker.management_url)
    (letter,) = wait_until(page.letters, "the management page shows the letter")
    headers = letter["properties"]["headers"]
    assert (headers["code"], headers["step"]) == ("prediction_failed", "poll")
    assert headers["reason"] == app.task(task_id).error
    assert headers["permanent"] == "true"
    assert "failed-at" in headers
    assert task_id in letter["payload"]
    assert letter["properties"]["delivery_mode"] == 2
    wait_until(page.letters, "looking at it leaves it there")

    taken = wait_until(lambda: page.letters(take=True), "it is taken out")
    assert len(taken) == 1
    assert page.letters() == []

    with httpx.Client(base_url=url, trust_env=False) as http:

        def listed() -> list[str]:
            found = http.get("/api/dead-letters").raise_for_status().json()["data"]
            return [each["taskId"] for each in found["deadLetters"]]

        wait_until(lambda: listed() == [task_id], "the task is listed all the same")
        httpx.delete(faults, trust_env=False).raise_for_status()
        order = {"filter": {"code": headers["code"]}, "reason": "luck is back"}
        done = http.post("/api/dead-letters/redrive", json=order).raise_for_status().json()["data"]
        assert done["taskIds"] == [task_id]
        wait_until(lambda: app.task(task_id).status == "succeeded", "the task succeeds")
        wait_until(lambda: listed() == [], "it is no dead letter any more")
