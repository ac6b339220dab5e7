"""Webhooks from a sandbox to real processes: fast, cheap, and not relied upon."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.clients import App
from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until

TASKS = 20
NEVER_MS = 600_000  # a look that comes too late to be of any help
SAFETY_SECONDS = 2.0
SLOW_SECONDS = 60.0  # on a machine that has other work


@dataclass
class Service:
    """A deployment with webhooks: where texts go to, and its Replicate."""

    app: App
    replicate: str

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """What the sandbox is told or asked."""
        url = f"{self.replicate}/sandbox/{path}"
        return httpx.request(method, url, json=body, trust_env=False).raise_for_status().json()

    def fault(self, fault: str, match: str = "") -> None:
        """Let the webhooks of such texts go wrong."""
        self.sandbox("POST", "faults", {"route": "webhook", "fault": fault, "match": match})

    def speak(self, texts: list[str]) -> list[float]:
        """How long each text took, in seconds; all succeed, each paid for once."""
        started = {}
        for text in texts:
            began = time.monotonic()
            started[self.app.speak(text)["taskId"]] = began
        took = [
            time.monotonic() - started[update["taskId"]]
            for update in self.app.follow(*started)
            if update["status"] == "succeeded"
        ]
        assert len(took) == len(texts)
        assert self.sandbox("GET", "stats")["creations"]["by_text"] == Counter(texts)
        return took

    def calls(self) -> Counter[str]:
        """The calls to Replicate's API so far, by route."""
        calls = Counter(self.sandbox("GET", "stats")["calls"])
        return Counter({route: calls[route] for route in ("create", "get", "list") if calls[route]})


Start = Callable[[float], Service]


@pytest.fixture
def embedded(tmp_path) -> Iterator[Start]:
    """``tts up`` with a PUBLIC_URL that leads to itself; takes the time between two looks in ms."""
    with ExitStack() as stack:

        def start(safety_ms: float) -> Service:
            port, sandbox_port = free_port(), free_port()
            url = f"http://127.0.0.1:{port}"
            env = {
                "SANDBOX_PORT": str(sandbox_port),
                "PUBLIC_URL": url,
                "REPLICATE_SAFETY_POLL_MS": str(int(safety_ms)),
            }
            process = Tts("up", "--port", str(port), "--data", str(tmp_path), env=env)
            process.wait_for(f"{url}/health")
            stack.callback(process.stop)
            app = App(url)
            stack.callback(app.close)
            return lively(Service(app, f"http://127.0.0.1:{sandbox_port}"))

        yield start


@pytest.fixture
def distributed(postgres, rabbitmq, s3, tmp_path) -> Iterator[Start]:
    """Each part a process; texts go to one gateway, and webhooks to the other."""
    with ExitStack() as stack:

        def start(safety_ms: float) -> Service:
            here, there, sandbox_port = free_port(), free_port(), free_port()
            url, replicate = f"http://127.0.0.1:{here}", f"http://127.0.0.1:{sandbox_port}"
            env = {
                "EVENT_STORE_URL": postgres.create_database(),
                "RABBITMQ_URL": rabbitmq.create_vhost(),
                **s3.settings,
                "REPLICATE_API_TOKEN": "r8_test",
                "REPLICATE_BASE_URL": replicate,
                "TEMPLATE_BASE_URL": replicate,
                "PUBLIC_URL": f"http://127.0.0.1:{there}",
                "REPLICATE_SAFETY_POLL_MS": str(int(safety_ms)),
            }

            def part(*arguments: str) -> Tts:
                process = Tts(*arguments, env=env)
                stack.callback(process.stop)
                return process

            sandbox = part("sandbox", "--port", str(sandbox_port), "--data", str(tmp_path))
            sandbox.wait_for(f"{replicate}/sandbox")
            gateways = [part("gateway", "--port", str(port)) for port in (here, there)]
            for name in ("relay", "processor"):
                part(name)
            for gateway, port in zip(gateways, (here, there), strict=True):
                gateway.wait_for(f"http://127.0.0.1:{port}/health")
            app = App(url)
            stack.callback(app.close)
            return lively(Service(app, replicate))

        yield start


def lively(service: Service) -> Service:
    """With predictions that take a fraction of a second."""
    settings = {"boot_seconds": 0.1, "predict_seconds": 0.3, "webhook_retry_seconds": 0.1}
    service.sandbox("PATCH", "settings", settings)
    return service


@pytest.mark.parametrize("deployment", ["embedded", "distributed"])
def test_a_task_takes_two_calls_to_replicate(request, deployment):
    """One to create and one to look, though webhooks come twice or are followed by stale ones."""
    service = request.getfixturevalue(deployment)(NEVER_MS)
    service.fault("duplicated", "^双")
    service.fault("out_of_order", "^乱")
    texts = [f"{'双乱三'[n % 3]}句话，第{n}句。" for n in range(TASKS)]

    took = service.speak(texts)

    assert service.calls() == {"create": TASKS, "get": TASKS}
    assert max(took) < SLOW_SECONDS
    delivered = TASKS + len([text for text in texts if text[0] in "双乱"])

    def webhooks() -> dict[str, int]:
        return service.sandbox("GET", "stats")["webhooks"]

    wait_until(lambda: webhooks().get("delivered") == delivered, "every webhook was taken")


@pytest.mark.parametrize("fault", ["never", "badly_signed"])
def test_a_webhook_that_never_comes_costs_seconds(embedded, fault):
    """The slow look finds the prediction; what is badly signed was as good as never sent."""
    service = embedded(SAFETY_SECONDS * 1000)
    service.fault(fault)

    took = service.speak(["第一句。", "第二句。"])

    assert all(SAFETY_SECONDS < seconds < SLOW_SECONDS for seconds in took), took
    assert service.calls() == {"create": 2, "get": 2}
    webhooks = service.sandbox("GET", "stats")["webhooks"]
    assert "delivered" not in webhooks
    assert bool(webhooks) == (fault == "badly_signed")
