"""A whole service for the clients to talk to, which can be killed and started again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse

from tests.services.tts import Up
from tests.waiting import wait_until

TEXT = "你好，欢迎使用语音合成服务。"
SLOW = "这句话要慢慢地说。"  # three seconds: long enough to do something meanwhile
LONG = "".join(f"这是第{n}句话，它说的是一件平常的小事，不长也不短。" for n in range(1, 13)) + SLOW
ENDLESS = "这句话永远说不完。"  # until it is canceled
FATES: list[dict[str, Any]] = [
    {"route": "prediction", "fault": "slow", "args": {"predict_seconds": 3}, "match": SLOW},
    {"route": "prediction", "fault": "endless", "match": ENDLESS},
]
FINAL = {"succeeded", "failed", "canceled"}


class Service(Up):
    """``tts up`` with its sandbox, whose predictions have their fates."""

    def __init__(self, folder: Path, **env: str) -> None:
        super().__init__(folder, **env)
        self.faults = f"{self.sandbox}/sandbox/faults"
        self._set_faults(FATES)

    @contextmanager
    def unheard(self, words: str) -> Iterator[None]:
        """Nobody is told meanwhile that a text with these words is spoken."""
        rule = {"route": "get", "fault": "status", "args": {"status": 503}, "match": words}
        self._set_faults([rule, *FATES])
        try:
            yield
        finally:
            self._set_faults(FATES)

    def speak(self, text: str = TEXT, template: str = "template1", key: str = "") -> str:
        """Post a text; the task's id."""
        body = {"templateId": template, "tts_text": text}
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx.post(f"{self.url}/api/tts", json=body, headers=headers, trust_env=False)
        return str(answer.raise_for_status().json()["data"]["taskId"])

    def task(self, task_id: str) -> dict[str, Any]:
        """The task as it stands."""
        answer = httpx.get(f"{self.url}/api/tts/task/{task_id}", trust_env=False)
        task: dict[str, Any] = answer.raise_for_status().json()["data"]
        return task

    def wait_for_streams(self, count: int, key: str = "") -> None:
        """Return when so many are open."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}

        def open_now() -> bool:
            answer = httpx.get(f"{self.url}/system", headers=headers, trust_env=False)
            return bool(answer.raise_for_status().json()["data"]["streams"] == count)

        wait_until(open_now, f"{count} streams are open")

    def wait_over(self, task_id: str) -> None:
        """Return when the task is over."""
        wait_until(lambda: self.task(task_id)["status"] in FINAL, f"task {task_id} is over")

    def told(self, *task_ids: str) -> list[tuple[int, str]]:
        """Position and status of everything that the log says of tasks that are over."""
        last = max(self.task(task_id)["position"] for task_id in task_ids)
        found = []
        with (
            httpx.Client(base_url=self.url, trust_env=False) as http,
            connect_sse(http, "GET", "/events", params={"taskId": task_ids}) as source,
        ):
            for event in source.iter_sse():
                if event.event == "task_update":
                    update = json.loads(event.data)
                    found.append((update["position"], update["status"]))
                    if update["position"] == last:
                        break
        return found

    def _set_faults(self, rules: list[dict[str, Any]]) -> None:
        httpx.put(self.faults, json=rules, trust_env=False).raise_for_status()
