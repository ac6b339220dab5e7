"""The definitions for operators, in the real broker."""

import json
from contextlib import ExitStack
from urllib.parse import quote

import aio_pika
import httpx
import pytest

from tests.ops.files import OPS
from tests.services.ports import free_port
from tests.services.tts import Tts
from tts.client import Client
from tts.config import Settings
from tts.queue.rabbitmq import topology

TEXT = (OPS / "rabbitmq/definitions.json").read_text()
DEFINITIONS = json.loads(TEXT)
DAY_MS = 86_400_000
PASSWORD = "a p@ssword/of one's own"  # noqa: S105 -- of a broker that lives for one test run


def url_of(broker, environment):
    """The vhost of an environment, for its user."""
    user = f"tts-{environment}:{quote(PASSWORD, safe='')}"
    return f"amqp://{user}@127.0.0.1:{broker.port}/{environment}"


@pytest.fixture(scope="module")
def broker(rabbitmq):
    """With two environments, made as ops/README.md says."""
    for environment in ("production", "staging"):
        rabbitmq.ctl("add_user", f"tts-{environment}", PASSWORD)
        text = TEXT.replace("production", environment)
        rabbitmq.ctl("import_definitions", stdin=text)
    return rabbitmq


def test_the_queues_are_those_that_the_service_declares():
    """So it makes no difference who comes first."""
    arguments = {queue["name"]: queue["arguments"] for queue in DEFINITIONS["queues"]}
    assert arguments == topology.FIXED


@pytest.mark.ops
def test_policies_are_where_they_help_and_not_where_they_harm(broker):
    """Dead letters go after a week and are a thousand at most; work neither expires nor is cut."""
    listed = broker.list_queues("production", "policy")
    policies = {queue["name"]: queue["policy"] for queue in listed}
    assert policies == {
        topology.WORK: "",
        topology.RETRY: "",
        topology.DEAD_LETTER: "tts-dead-letters",
    }
    limits = {each["name"]: each["definition"] for each in DEFINITIONS["policies"]}
    assert limits["tts-dead-letters"] == {"message-ttl": 7 * DAY_MS, "max-length": 1000}
    # A waiting room's own time is never longer, so that the policy cuts no delay short.
    longest = [
        m for m in Settings.model_fields["retry_max_interval_ms"].metadata if hasattr(m, "le")
    ]
    assert limits["tts-waiting-rooms"] == {"message-ttl": DAY_MS}
    assert longest[0].le <= DAY_MS


@pytest.mark.ops
def test_the_service_works_with_the_rights_that_its_user_has(broker, tmp_path):
    """It speaks, waits in a room before a retry, and lays down a dead letter."""
    port, sandbox = free_port(), free_port()
    env = {
        "RABBITMQ_URL": url_of(broker, "production"),
        "SANDBOX_PORT": str(sandbox),
        "REPLICATE_POLL_INTERVAL_MS": "50",
        "RETRY_INITIAL_INTERVAL_MS": "2000",
    }
    with ExitStack() as stack:
        service = Tts("up", "--port", str(port), "--data", str(tmp_path), env=env)
        stack.callback(service.stop)
        service.wait_for(f"http://127.0.0.1:{port}/health")
        rule = {"route": "prediction", "fault": "failed", "count": 1}
        faults = f"http://127.0.0.1:{sandbox}/sandbox/faults"
        httpx.put(faults, json=[rule], trust_env=False).raise_for_status()
        app = stack.enter_context(Client(f"http://127.0.0.1:{port}", trust_env=False))
        retried = app.generate("template1", "你好。").task_id
        failed = app.generate("missing1", "你好。").task_id
        statuses = [update.status for update in app.events(retried)]
        assert "waiting_retry" in statuses
        assert statuses[-1] == "succeeded"
        assert list(app.events(failed))[-1].status == "failed"
        queues = {q["name"]: q for q in broker.list_queues("production", "policy")}
    assert queues[topology.DEAD_LETTER]["messages"] == 1
    rooms = [queue for name, queue in queues.items() if name.startswith(f"{topology.RETRY}.")]
    assert [room["policy"] for room in rooms] == ["tts-waiting-rooms"] * len(rooms) != []


@pytest.mark.ops
async def test_an_environments_user_has_no_business_elsewhere(broker):
    """Neither in another environment, nor with a queue that is none of the service's."""
    with pytest.raises(aio_pika.exceptions.AMQPError):
        await aio_pika.connect(url_of(broker, "production").replace("/production", "/staging"))
    async with await aio_pika.connect(url_of(broker, "production")) as connection:
        channel = await connection.channel()
        with pytest.raises(aio_pika.exceptions.AMQPError, match="ACCESS_REFUSED"):
            await channel.declare_queue("somebody_elses")
