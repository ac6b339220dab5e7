"""An app that never gives up: it repeats what was not answered, under the same Idempotency-Key."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import aiohttp

FINAL = {"succeeded", "failed", "canceled"}
PAUSE_SECONDS = 0.1
LOOK_SECONDS = 0.4  # between two looks at one task: of hundreds, each costs the gateway some time
SILENCE_SECONDS = 15.0  # heartbeats come each second


@dataclass
class Accepted:
    """A task that the gateway has accepted, and what was said."""

    task_id: str
    text: str
    posts: int  # how often it was asked for until there was an answer


class App:
    """Speaks to any of the gateways; use it as a context. ``tls`` is what it trusts."""

    def __init__(
        self, gateways: Sequence[str], replicate: str, *, tls: ssl.SSLContext | bool = True
    ) -> None:
        self._gateways = itertools.cycle(gateways)
        self._tls = tls
        self._replicate = replicate
        self.accepted: dict[str, Accepted] = {}

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=30),
            connector=aiohttp.TCPConnector(ssl=self._tls),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def speak(self, text: str, *, template: str = "template1", key: str) -> str:
        """Have the text accepted, however often it has to be posted; returns the task's id."""
        body = {"templateId": template, "tts_text": text}
        posts = 0
        while True:
            posts += 1
            try:
                status, answer = await self.once(
                    "POST", "/api/tts", body, headers={"Idempotency-Key": key}
                )
            except (aiohttp.ClientError, TimeoutError):
                status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {}
            if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
                task_id = answer["data"]["taskId"]
                self.accepted[task_id] = Accepted(task_id, text, posts)
                return task_id
            if status < HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus(500):
                raise AssertionError(f"POST /api/tts: {status} {answer}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def order(self, path: str, task_id: str) -> int:
        """Order a retry or a cancellation until there is an answer; returns its status."""
        while True:
            try:
                status, _ = await self.once("POST", path, {"taskId": task_id})
            except (aiohttp.ClientError, TimeoutError):
                status = HTTPStatus.SERVICE_UNAVAILABLE
            if status != HTTPStatus.SERVICE_UNAVAILABLE:
                return status
            await asyncio.sleep(PAUSE_SECONDS)

    async def statuses(self, task_id: str) -> list[str]:
        """Every status that the task has had, as soon as somebody tells them."""
        while True:
            try:
                status, answer = await self.once("GET", f"/api/tts/task/{task_id}/events")
            except (aiohttp.ClientError, TimeoutError):
                status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {}
            if status == HTTPStatus.OK:
                return [event["status"] for event in answer["data"]["events"]]
            if status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise AssertionError(f"the events of task {task_id}: {status} {answer}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def reached(self, task_id: str, *wanted: str, seconds: float = 120) -> None:
        """Wait until the task has, or has had, one of the statuses."""
        had: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while not set(had := await self.statuses(task_id)) & set(wanted):
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            raise AssertionError(
                f"task {task_id} has no {wanted} after {seconds} s: {had}"
            ) from error

    async def over(self, task_id: str, *, seconds: float = 120) -> str:
        """Wait until the task is over, and return its final status."""
        had: list[str] = [""]
        try:
            async with asyncio.timeout(seconds):
                while (had := await self.statuses(task_id))[-1] not in FINAL:
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            raise AssertionError(f"task {task_id} is not over after {seconds} s: {had}") from error
        return had[-1]

    async def once(
        self, method: str, path: str, body: object = None, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        """One request to the next gateway: its status and what it says."""
        url = next(self._gateways) + path
        async with self._http.request(method, url, json=body, **more) as reply:
            return reply.status, await reply.json(content_type=None)

    async def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """Ask the sandbox, or tell it something."""
        url = f"{self._replicate}/sandbox/{path}"
        async with self._http.request(method, url, json=body) as reply:
            assert reply.ok, await reply.text()
            return await reply.json()


class Reader:
    """Follows ``/events`` from the first event on, and resumes whenever the stream ends.

    ``patience`` draws after how many seconds it hangs up of its own accord.
    """

    def __init__(
        self,
        gateways: Sequence[str],
        *,
        patience: Callable[[], float] | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._gateways = itertools.cycle(gateways)
        self._tls = tls
        self._patience = patience
        self.seen: list[tuple[int, str, str]] = []  # position, task, status
        self.last = "0"
        self.connections = 0
        self.resets: list[str] = []

    async def run(self) -> None:
        """Read until canceled."""
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=SILENCE_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with aiohttp.ClientSession(
            timeout=timeout, read_bufsize=2**20, connector=connector
        ) as http:
            while True:
                url = f"{next(self._gateways)}/events"
                try:
                    async with asyncio.timeout(self._patience and self._patience()):
                        await self._read(http, url)
                except (aiohttp.ClientError, TimeoutError):
                    pass  # it comes back, as every client does
                await asyncio.sleep(PAUSE_SECONDS)

    async def caught_up(self, position: int, seconds: float = 60) -> None:
        """Return when everything up to the position was seen, or there was the time for it."""
        deadline = asyncio.get_running_loop().time() + seconds
        while int(self.last) < position and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)

    async def _read(self, http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(url, headers={"Last-Event-ID": self.last}) as reply:
            if reply.status != HTTPStatus.OK:
                return
            self.connections += 1
            fields: dict[str, str] = {}
            async for line in reply.content:
                if not line.endswith(b"\n"):
                    return  # cut off in the middle: this event comes again
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                self._took(fields)
                fields = {}

    def _took(self, fields: dict[str, str]) -> None:
        self.last = fields.get("id", self.last)
        if fields.get("event") == "task_update":
            update = json.loads(fields["data"])
            self.seen.append((int(fields["id"]), update["taskId"], update["status"]))
        elif fields.get("event") == "reset":
            self.resets.append(fields["data"])
