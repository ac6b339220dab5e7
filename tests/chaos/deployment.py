"""A whole deployment of forked processes, each of which can be killed and started again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.chaos.nursery import Child, Nursery
from tests.services.clock import Clock
from tests.services.ports import free_port
from tests.services.s3 import S3
from tests.waiting import wait_until

# What takes long in production because nothing is lost by waiting is quick here.
QUICK = {
    "REPLICATE_API_TOKEN": "r8_test",
    "REPLICATE_POLL_INTERVAL_MS": "100",
    "REPLICATE_TIMEOUT_MS": "1000",
    "RETRY_INITIAL_INTERVAL_MS": "200",
    "RETRY_MAX_INTERVAL_MS": "2000",
    "RETRY_MAX_ATTEMPTS": "20",
    "SSE_HEARTBEAT_INTERVAL_MS": "1000",
    "SSE_REPLAY_LIMIT": "1000000",
    "RATE_LIMIT_PER_KEY": "0",
    "TEMPLATE_CACHE_SECONDS": "1",
}
SANDBOX = {"boot_seconds": 0.05, "predict_seconds": 0.1, "speech": "tone"}


class Deployment:
    """``parts`` are the commands by name, without the sandbox, which is always there.

    A name ends in its machine's, and ``clocks`` are those of the machines that may be wrong.
    """

    def __init__(
        self,
        nursery: Nursery,
        parts: Mapping[str, tuple[str, ...]],
        gateways: Mapping[str, int],
        env: Mapping[str, str],
        clocks: Mapping[str, Clock] | None = None,
    ) -> None:
        self.nursery = nursery
        self.clocks = clocks or {}
        self.parts = parts
        self.gateways = [f"http://127.0.0.1:{port}" for port in gateways.values()]
        self._ports = gateways
        self._sandbox_port = free_port()
        self.replicate = f"http://127.0.0.1:{self._sandbox_port}"
        self.journal = nursery.folder / "sandbox" / "sandbox" / "predictions.jsonl"
        self.env = {
            **QUICK,
            "REPLICATE_BASE_URL": self.replicate,
            "TEMPLATE_BASE_URL": self.replicate,
            **env,
        }
        self.children: dict[str, Child] = {}
        self.sandbox = nursery.start(
            "sandbox", "sandbox", "--port", str(self._sandbox_port), "--data", ".", env={}
        )
        wait_until(lambda: answers(f"{self.replicate}/sandbox"), "the sandbox answers")
        httpx.patch(
            f"{self.replicate}/sandbox/settings", json=SANDBOX, trust_env=False
        ).raise_for_status()

    @property
    def ports(self) -> list[int]:
        """Where the gateways listen."""
        return list(self._ports.values())

    def start(self, name: str, dies: str | None = None) -> Child:
        """Start a part (again)."""
        arguments = self.parts[name]
        if name in self._ports:
            arguments = (*arguments, "--port", str(self._ports[name]))
        clock = self.clocks.get(name.rpartition("-")[2])
        env = self.env | (clock.env if clock else {})
        self.children[name] = self.nursery.start(name, *arguments, env=env, dies=dies)
        return self.children[name]

    def start_all(self) -> None:
        """Start every part, and return when the gateways are healthy."""
        for name in self.parts:
            self.start(name)
        wait_until(self.healthy, "the gateways are healthy")

    def healthy(self) -> bool:
        """Whether every gateway says that it is."""
        return all(answers(f"{url}/health") for url in self.gateways)

    def stop(self) -> None:
        """Stop what still lives; the processes that fail to are named."""
        for child in self.children.values():
            child.kill()
        self.sandbox.kill()


def embedded(nursery: Nursery, data: Path) -> Deployment:
    """Everything in one process, save for the sandbox, whose counters have to survive it."""
    return Deployment(nursery, {"up": ("up", "--data", str(data))}, {"up": free_port()}, {})


def distributed(
    nursery: Nursery,
    store: str,
    broker: str,
    s3: S3,
    *,
    each: int = 1,
    clocks: Mapping[str, Clock] | None = None,
    **env: str,
) -> Deployment:
    """``each`` of every part: gateway-1, relay-1, processor-1, projector-1, and so on."""
    kinds = ("gateway", "relay", "projector", "processor")
    parts = {f"{kind}-{n}": (kind,) for n in range(1, each + 1) for kind in kinds}
    return Deployment(
        nursery,
        parts,
        {name: free_port() for name in parts if name.startswith("gateway")},
        {
            "EVENT_STORE_URL": store,
            "RABBITMQ_URL": broker,
            **s3.settings,
            **env,
        },
        clocks,
    )


def answers(url: str) -> bool:
    """Whether the URL answers with success."""
    try:
        return httpx.get(url, timeout=30, trust_env=False).is_success
    except httpx.TransportError:
        return False
