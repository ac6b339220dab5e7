"""A private Prometheus."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping
from typing import Any

import httpx

from tests.services.ports import free_port
from tests.services.process import Process, User, program
from tests.waiting import wait_until


class Prometheus:
    """Scrapes ``targets`` (``host:port`` to the part that it is) every second."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._user = User("nobody")
        self._folder = self._user.folder("tts-prometheus-")
        config = self._folder / "prometheus.yml"
        groups = [
            {"targets": [target], "labels": {"part": part}} for target, part in targets.items()
        ]
        job = {"job_name": "tts", "scrape_interval": "1s", "static_configs": groups}
        config.write_text(json.dumps({"scrape_configs": [job]}))  # JSON is YAML
        options = {
            "config.file": config,
            "storage.tsdb.path": self._folder / "data",
            "web.listen-address": f"127.0.0.1:{port}",
        }
        binary = program("prometheus", "prometheus")
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self._process = Process(
            self._user.command([binary, *arguments]),
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGKILL,
        )
        wait_until(self._ready, "Prometheus is ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that the expression has now.

        Raises:
            ValueError: Prometheus refuses it, and says why.
        """
        answer = httpx.get(
            f"{self.url}/api/v1/query", params={"query": expression}, trust_env=False
        ).json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def stop(self) -> None:
        """End it and remove its data."""
        self._process.stop(signal.SIGKILL)
        shutil.rmtree(self._folder)

    def _ready(self) -> bool:
        self._process.check()
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False
