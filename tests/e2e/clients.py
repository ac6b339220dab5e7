"""What the end-to-end tests do as an app would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
from httpx_sse import connect_sse

FINAL = {"succeeded", "failed", "canceled"}


class App:
    """An app that talks to one gateway."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def speak(self, text: str, **headers: str) -> dict[str, Any]:
        """POST a text and return the answer's data."""
        body = {"templateId": "template1", "tts_text": text}
        answer = self._http.post("/api/tts", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()["data"]

    def task(self, task_id: str) -> dict[str, Any]:
        """The task as the API answers it."""
        answer = self._http.get(f"/api/tts/task/{task_id}")
        answer.raise_for_status()
        return answer.json()["data"]

    def get(self, path: str, **params: Any) -> httpx.Response:
        """Any GET."""
        return self._http.get(path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Any POST."""
        return self._http.post(path, json=body)

    def follow(self, *task_ids: str, after: int | None = None) -> Iterator[dict[str, Any]]:
        """The task's updates until it is over."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        left = set(task_ids)
        with (
            httpx.Client(base_url=self.url, timeout=60, trust_env=False) as http,
            connect_sse(
                http, "GET", "/events", params={"taskId": task_ids}, headers=headers
            ) as source,
        ):
            for event in source.iter_sse():
                if event.event != "task_update":
                    continue
                update = json.loads(event.data)
                assert event.id == str(update["position"])
                yield update
                if update["status"] in FINAL:
                    left.discard(update["taskId"])
                    if not left:
                        return
