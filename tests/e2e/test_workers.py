"""Several gateways on one port, as a user starts them: replaced, restarted, and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import until

BODY = {"templateId": "template1", "tts_text": "你好。"}


class Service:
    """``tts up --workers 2`` and who asks it; each request has a connection of its own."""

    def __init__(self, tts: Tts, url: str) -> None:
        self.tts = tts
        self.url = url
        self.statuses: list[int | str] = []

    async def ask(self, path: str = "/health", **more) -> httpx.Response:
        """The answer, whatever it is."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return await client.request(more.pop("method", "GET"), self.url + path, **more)

    @contextlib.asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """While somebody asks again and again; how it went is in ``statuses``."""

        async def go_on() -> None:
            while True:
                try:
                    self.statuses.append((await self.ask()).status_code)
                except httpx.HTTPError as error:
                    self.statuses.append(repr(error))

        asking = [asyncio.create_task(go_on()) for _ in range(4)]
        try:
            yield
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def pids(self) -> dict[str, int]:
        """The gateways at work."""
        parts = (await self.ask("/system")).json()["data"]["parts"]
        return {
            part["name"]: int(part["name"].rpartition("-")[2])
            for part in parts
            if part["part"] == "gateway" and part["state"] == "alive"
        }

    async def workers(self) -> set[str]:
        """Those whose metrics are shown."""
        text = (await self.ask("/metrics")).text
        return {
            sample.labels["worker"]
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    port, sandbox = free_port(), free_port()
    tts = await asyncio.to_thread(
        Tts,
        *("up", "--workers", "2", "--port", str(port), "--data", str(tmp_path / "data")),
        env={"SANDBOX_PORT": str(sandbox), "SHUTDOWN_SECONDS": "30"},
        fresh=True,
    )
    url = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(tts.wait_for, f"{url}/health")
    running = Service(tts, url)

    async def all_there() -> bool:
        return await running.workers() == {"0", "1", "2"} and len(await running.pids()) == 2

    await until(all_there, "all are at work", 60)
    yield running
    await asyncio.to_thread(tts.kill)


async def test_workers_are_replaced_restarted_and_ended(service: Service):
    """A dead one is replaced, SIGHUP brings new ones without a refusal, SIGTERM ends all."""
    answer = await service.ask("/api/tts", method="POST", json=BODY, headers={"Prefer": "wait=40"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["status"] == "succeeded"

    first = set((await service.pids()).values())
    victim = min(first)
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        try:
            now = set((await service.pids()).values())
        except httpx.HTTPError:  # one of the connections that died with it
            return False
        return victim not in now and len(now) == 2

    await until(replaced, "another one takes its place", 60)
    second = set((await service.pids()).values())
    async with service.busy():
        os.kill(service.tts.pid, signal.SIGHUP)

        async def renewed() -> bool:
            now = set((await service.pids()).values())
            return len(now) == 2 and now.isdisjoint(second)

        await until(renewed, "all are new", 90)
        await until(lambda: len(service.statuses) > 20, "many were answered")
    assert set(service.statuses) == {200}
    third = (await service.pids()).values()
    os.kill(service.tts.pid, signal.SIGTERM)
    await until(lambda: not any(map(_is_there, [service.tts.pid, *third])), "all are gone", 60)
    assert "Traceback" not in service.tts.log


async def test_workers_end_with_who_started_them(service: Service):
    """Even when that is killed: nobody is left behind on the port."""
    pids = (await service.pids()).values()
    await asyncio.to_thread(service.tts.kill)
    await until(lambda: not any(map(_is_there, pids)), "all are gone", 60)
    with pytest.raises(httpx.ConnectError):
        await service.ask()


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path):
    """Workers share their port with each other, and with nobody else."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        words = ("gateway", "--workers", "2", "--port", port, "--data", str(tmp_path))
        run = [sys.executable, "-m", "tts", *words]
        ended = subprocess.run(
            run, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
    assert ended.returncode == 1
    assert "cannot start: PORT: cannot listen on" in ended.stderr
    assert "Traceback" not in ended.stderr


def _is_there(pid: int) -> bool:
    """Whether the process runs; one that nobody waits for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
