"""The distributed deployment, each part a process of its own, and its servers behind links."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

import httpx

from tests.services.link import Link
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3
from tests.services.tts import Tts
from tests.waiting import wait_until

PARTS = ("gateway", "relay", "processor", "projector")


class Distributed:
    """One process of each part; ``broker``, ``audio``, ``database``: links to be cut and healed.

    Nobody speaks: Replicate and the template host are not there.
    """

    def __init__(self, postgres: Postgres, rabbitmq: RabbitMQ, s3: S3, **env: str) -> None:
        self._stack = ExitStack()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        vhost = rabbitmq.create_vhost()
        self.broker = self._stack.enter_context(Link(int(vhost.rpartition(":")[2].split("/")[0])))
        self.audio = self._stack.enter_context(Link(int(s3.endpoint.rpartition(":")[2])))
        self.store_url = postgres.create_database()
        self.database = self._stack.enter_context(Link(postgres.port))
        self._env = {
            "EVENT_STORE_URL": self.database.through(self.store_url),
            "RABBITMQ_URL": self.broker.through(vhost),
            **s3.settings,
            "MINIO_ENDPOINT": f"127.0.0.1:{self.audio.port}",
            "REPLICATE_API_TOKEN": "r8_test",
            "REPLICATE_BASE_URL": "http://127.0.0.1:9",
            "TEMPLATE_BASE_URL": "http://127.0.0.1:9",
            **env,
        }
        self.metrics_urls: dict[str, str] = {}
        self.parts = {part: self._start(part, port) for part in PARTS}
        self.parts["gateway"].wait_for(f"{self.url}/health")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def health(self) -> httpx.Response:
        """How the whole service is."""
        url = f"{self.url}/health?deep=1"
        return httpx.get(url, timeout=60, trust_env=False)

    def system(self) -> dict[str, Any]:
        """What operators see."""
        answer = httpx.get(f"{self.url}/system", timeout=60, trust_env=False).raise_for_status()
        system: dict[str, Any] = answer.json()["data"]
        return system

    def troubles(self) -> set[tuple[str, str]]:
        """Code and subject of all that is wrong."""
        troubles = self.health().json()["data"]["service"]["troubles"]
        return {(each["code"], each["subject"]) for each in troubles}

    def wait_for_troubles(self, *expected: tuple[str, str]) -> None:
        """Return when these are told, and no others."""
        what = f"the troubles are {expected}"
        wait_until(lambda: self.troubles() == set(expected), what)

    def start_more(self, part: str) -> Tts:
        """One more process of the part; its metrics are those of ``<part>-2``."""
        return self._start(part, 0, f"{part}-2")

    def _start(self, part: str, port: int, name: str = "") -> Tts:
        port = port if part == "gateway" else free_port()
        where = {"PORT" if part == "gateway" else "METRICS_PORT": str(port)}
        process = Tts(part, env=self._env | where)
        self.metrics_urls[name or part] = f"http://127.0.0.1:{port}/metrics"
        self._stack.callback(process.stop)
        return process
