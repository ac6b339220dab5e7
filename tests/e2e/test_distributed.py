"""The distributed deployment, its parts as processes of their own on real servers."""

from collections import Counter
from contextlib import ExitStack

import httpx
import pytest

from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until
from tts.client import Client

TASKS = 60


@pytest.fixture
def deployment(postgres, rabbitmq, s3, tmp_path):
    """Gateway, relay, processor, projector and the sandbox.

    Yields the processor, a client, the sandbox's URL and the broker's.
    """
    port, sandbox_port = free_port(), free_port()
    url, replicate = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
    env = {
        "EVENT_STORE_URL": postgres.create_database(),
        "RABBITMQ_URL": rabbitmq.create_vhost(),
        **s3.settings,
        "REPLICATE_API_TOKEN": "r8_test",
        "REPLICATE_BASE_URL": replicate,
        "TEMPLATE_BASE_URL": replicate,
        "REPLICATE_POLL_INTERVAL_MS": "100",
        "REPLICATE_TIMEOUT_MS": "3000",
        "RETRY_INITIAL_INTERVAL_MS": "200",
    }
    with ExitStack() as stack:

        def start(*arguments: str) -> Tts:
            process = Tts(*arguments, env=env)
            stack.callback(process.stop)
            return process

        sandbox = start("sandbox", "--port", str(sandbox_port), "--data", str(tmp_path))
        sandbox.wait_for(f"{replicate}/sandbox")
        parts = {
            "gateway": start("gateway", "--port", str(port)),
            "relay": start("relay"),
            "projector": start("projector"),
            "processor": start("processor"),
        }
        parts["gateway"].wait_for(f"{url}/health")
        app = stack.enter_context(Client(url, trust_env=False))
        yield parts["processor"], app, replicate, env["RABBITMQ_URL"]


def test_a_processor_killed_three_times_loses_nothing_and_pays_for_nothing_twice(deployment):
    """Every accepted task succeeds, and Replicate saw exactly one creation for each."""
    processor, app, replicate, _ = deployment
    texts = [f"第{number}句话。" for number in range(TASKS)]
    tasks = [app.generate("template1", text).task_id for text in texts]

    def succeeded() -> int:
        return len(list(app.tasks(status="succeeded")))

    for share in (1, 2, 3):
        wait_until(lambda share=share: succeeded() >= share * 10, f"{share * 10} tasks are done")
        processor.kill()
        processor.start()
    last = {update.task_id: update.status for update in app.events(*tasks)}

    assert last == dict.fromkeys(tasks, "succeeded")
    stats = httpx.get(f"{replicate}/sandbox/stats", trust_env=False).json()
    assert stats["creations"]["by_text"] == Counter(texts)


def test_a_dead_letter_can_be_inspected_and_its_task_retried(deployment, rabbitmq):
    """A final failure lies in the dead letter queue; a manual retry starts another round."""
    _, app, _, broker = deployment
    task_id = app.generate("missing1", "你好").task_id
    failed = list(app.events(task_id))[-1]
    assert failed.status == "failed"

    def letters() -> int:
        queues = {queue["name"]: queue["messages"] for queue in rabbitmq.list_queues(broker)}
        return queues["tts_dead_letter_queue"]

    wait_until(lambda: letters() == 1, "the dead letter is in its queue")
    assert app.retry(task_id) > failed.position

    again = [update.status for update in app.events(task_id, after=failed.position)]
    assert again[:2] == ["retrying", "queued"]
    assert again[-1] == "failed"
