"""Requests for speech by clients that cost little: connections that stay, a thread for each."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.bench.load import BODY

AT_ONCE = 32
SECONDS = 120


@dataclass(frozen=True)
class Posted:
    """One request: when it left by the clock of the wall, and the seconds until its answer."""

    task_id: str
    at: float
    seconds: float


class Customers:
    """At most 32 requests at once to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = threading.local()

    def post(self, *, wait: bool = False) -> Posted:
        """Ask for speech; with ``wait`` for the audio as well."""
        headers = {"Content-Type": "application/json", **({"Prefer": "wait=60"} if wait else {})}
        at, began = time.time(), time.perf_counter()
        found = self._ask("POST", "/api/tts", BODY.encode(), headers)
        return Posted(found["data"]["taskId"], at, time.perf_counter() - began)

    def get(self, path: str) -> Any:
        """The ``data`` of an answer."""
        return self._ask("GET", path, None, {})["data"]

    def one_by_one(self, count: int, pause: float) -> list[Posted]:
        """Requests to a service that has nothing else to do."""
        posted = []
        for _ in range(count):
            posted.append(self.post())
            time.sleep(pause)
        return posted

    def steadily(self, per_second: float, seconds: float, *, wait: bool = False) -> list[Posted]:
        """Each request leaves at its time, however long the ones before take."""
        began, count = time.monotonic(), round(per_second * seconds)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            posts = []
            for n in range(count):
                time.sleep(max(0.0, began + n / per_second - time.monotonic()))
                posts.append(threads.submit(self.post, wait=wait))
            return [post.result() for post in posts]

    def capacity(self, tasks: int) -> float:
        """Tasks a second that are spoken, with as many requests at once as there may be."""
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda _: self.post(wait=True), range(tasks)))
        return tasks / (time.monotonic() - began)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=SECONDS
            )
        connection = self._own.connection
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} was answered by {answer.status}: {text!r}")
        return json.loads(text)
