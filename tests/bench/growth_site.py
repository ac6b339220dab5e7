"""A service over a log of some length, and what is asked of it; every answer in seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from tests.bench.growth_log import RARE_TEMPLATE, TEXT
from tests.bench.processes import resident_megabytes
from tests.services.process import cpu_seconds

REQUESTS = 40  # of each kind in one round; the median counts
TASKS, AT_ONCE = 40, 8
IDLE_SECONDS = 5.0
RESUMED = 100  # events that a stream has missed


@dataclass(frozen=True)
class Site:
    """One service; ``task_ids`` are some of its tasks, from all ages."""

    client: httpx.Client
    pid: int
    task_ids: list[str]

    def accept(self) -> float:
        """A request for speech is taken in."""
        return _median(lambda _: self._post().raise_for_status())

    def task(self) -> float:
        """One task is shown."""
        return self._get(lambda n: f"/api/tts/task/{self._id(n)}")

    def timeline(self) -> float:
        """The story of one task."""
        return self._get(lambda n: f"/api/tts/task/{self._id(n)}/events")

    def newest(self) -> float:
        """The first page of all tasks."""
        return self._get(lambda _: "/api/tts/tasks?limit=50")

    def of_a_rare_status(self) -> float:
        """The first page of the canceled ones."""
        return self._get(lambda _: "/api/tts/tasks?limit=50&status=canceled")

    def of_a_rare_template(self) -> float:
        """The first page of those with a voice that few have."""
        return self._get(lambda _: f"/api/tts/tasks?limit=50&templateId={RARE_TEMPLATE}")

    def dead_letters(self) -> float:
        """The first page of what failed."""
        return self._get(lambda _: "/api/dead-letters?limit=50")

    def resume(self) -> float:
        """A stream of everything takes up what it has missed."""
        newest = self.client.get("/system").raise_for_status().json()["data"]["position"]
        return _median(lambda _: self._resume(newest - RESUMED))

    def idle(self) -> float:
        """CPU a second while nothing happens."""
        before = cpu_seconds(self.pid)
        time.sleep(IDLE_SECONDS)
        return (cpu_seconds(self.pid) - before) / IDLE_SECONDS

    def work(self) -> float:
        """CPU a task, from the request to the audio, with the sandbox that is in the process."""
        before = cpu_seconds(self.pid)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for answer in threads.map(lambda _: self._post(wait=True), range(TASKS)):
                assert answer.status_code == 200, answer.text
        return (cpu_seconds(self.pid) - before) / TASKS

    def memory(self) -> float:
        """Resident megabytes."""
        return resident_megabytes(self.pid)

    def _post(self, *, wait: bool = False) -> httpx.Response:
        order = {"templateId": "template1", "tts_text": TEXT}
        return self.client.post(
            "/api/tts", json=order, headers={"Prefer": "wait=60"} if wait else {}
        )

    def _get(self, path: Callable[[int], str]) -> float:
        return _median(lambda n: self.client.get(path(n)).raise_for_status())

    def _id(self, number: int) -> str:
        return self.task_ids[number % len(self.task_ids)]

    def _resume(self, position: int) -> None:
        missing = RESUMED
        headers = {"Last-Event-ID": str(position)}
        with self.client.stream("GET", "/events", headers=headers) as stream:
            for line in stream.iter_lines():
                missing -= line == "event: task_update"
                if missing == 0:
                    return


def _median(ask: Callable[[int], object]) -> float:
    seconds = []
    for number in range(REQUESTS):
        began = time.perf_counter()
        ask(number)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
