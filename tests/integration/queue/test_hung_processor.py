"""One of two processors is frozen: the other one goes on, and gets what the frozen one held."""

import os
import signal
import time

import httpx
import pytest

from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster
TASKS = 60
IN_ITS_HANDS = 16  # TTS_CONCURRENCY
STALL_SECONDS = 10
SOON_SECONDS = 30


@pytest.fixture
def service(rabbitmq, tmp_path):
    """A gateway, a relay and two processors over one file and one broker; the second one's pid."""
    sandbox, port = free_port(), free_port()
    replicate = f"http://127.0.0.1:{sandbox}"
    env = {
        "DATA_DIR": str(tmp_path / "data"),
        "RABBITMQ_URL": rabbitmq.create_vhost(),
        "REPLICATE_BASE_URL": replicate,
        "TEMPLATE_BASE_URL": replicate,
        "PORT": str(port),
        "RATE_LIMIT_PER_KEY": "0",
    }
    started = [Tts("sandbox", "--port", str(sandbox), env=env)]
    started[0].wait_for(f"{replicate}/sandbox")
    quick = {"boot_seconds": 0.02, "predict_seconds": 0.05, "speech": "tone"}
    httpx.patch(f"{replicate}/sandbox/settings", json=quick, trust_env=False).raise_for_status()
    started.append(Tts("gateway", env=env))
    started[1].wait_for(f"http://127.0.0.1:{port}/health")
    started += [Tts("relay", env=env), Tts("projector", env=env)]
    started += [Tts("processor", env=env), Tts("processor", env=env)]
    yield f"http://127.0.0.1:{port}/api/tts", started[-1].pid
    for each in reversed(started):
        each.stop()


def request(url: str, count: int) -> list[str]:
    """The ids of so many new tasks."""
    body = {"templateId": "template1", "tts_text": "你好。"}
    with httpx.Client(trust_env=False) as client:
        return [client.post(url, json=body).json()["data"]["taskId"] for _ in range(count)]


def done(url: str, ids: list[str]) -> int:
    with httpx.Client(trust_env=False) as client:
        answers = [client.get(f"{url}/task/{id_}").json()["data"]["status"] for id_ in ids]
    return answers.count("succeeded")


def test_a_frozen_processor_holds_up_only_what_it_holds(service):
    """The others are worked on at once, and what it held as soon as the broker gives it up."""
    url, pid = service
    warm = request(url, 10)
    wait_until(lambda: done(url, warm) == 10, "both work")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        ids = request(url, TASKS)
        most = TASKS - IN_ITS_HANDS
        wait_until(lambda: done(url, ids) >= most, "the others are done", STALL_SECONDS)
        others = time.monotonic() - began
        wait_until(lambda: done(url, ids) == TASKS, "all are done", SOON_SECONDS)
        every = time.monotonic() - began
        print(f"{most} of {TASKS} tasks after {others:.1f} s, all after {every:.1f} s")  # noqa: T201 -- pytest -s shows it
    finally:
        os.kill(pid, signal.SIGCONT)
