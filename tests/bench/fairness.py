"""What a small owner waits while 10,000 tasks of another one do, against its wait alone.

One embedded service, in front of it two keys, behind it the sandbox with predictions of 50 ms. The
load is not worked off: the small owner asks one after the other while it is being worked on.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

import httpx

from gateway.access import keys
from gateway.access.roles import Role
from tests.bench.processes import running, wait_for
from tests.services.ports import free_port

TASKS = 10_000
SECONDS = 45  # of the measurement, from the whole load's acceptance on
ALONE = 5
PAUSE_SECONDS = 0.5
AT_ONCE = 32
WINDOWS = (8,)
SANDBOX = {"boot_seconds": 0.0, "predict_seconds": 0.05, "speech": "tone"}


def main(
    windows: tuple[int, ...] = WINDOWS, tasks: int = TASKS, seconds: float = SECONDS
) -> dict[int, float]:
    """Print, and return for each DISPATCH_WINDOW the median wait under load in seconds."""
    return {window: _measure(window, tasks, seconds) for window in windows}


def _measure(window: int, tasks: int, seconds: float) -> float:
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as name:
        folder, port, sandbox_port = Path(name), free_port(), free_port()
        keys_file, sandbox_url = folder / "keys.json", f"http://127.0.0.1:{sandbox_port}"
        owners = {
            owner: keys.add(keys_file, owner=owner, role=Role.APP, expires=None)[1]
            for owner in ("big", "small")
        }
        env = {
            "TTS_API_KEYS_FILE": str(keys_file),
            "RATE_LIMIT_PER_KEY": "0",
            "REPLICATE_API_TOKEN": "r8_bench",
            "REPLICATE_BASE_URL": sandbox_url,
            "TEMPLATE_BASE_URL": sandbox_url,
            "REPLICATE_POLL_INTERVAL_MS": "100",
            "DISPATCH_WINDOW": str(window),
        }
        ours = ["-m", "tts", "up", "--port", str(port), "--data", str(folder / "data")]
        sandbox = ["-m", "tts", "sandbox", "--port", str(sandbox_port), "--data", name]
        with running(sandbox) as speaker, running(ours, env) as process:
            wait_for(f"{sandbox_url}/sandbox", speaker)
            httpx.patch(f"{sandbox_url}/sandbox/settings", json=SANDBOX).raise_for_status()
            wait_for(f"http://127.0.0.1:{port}/", process)
            return asyncio.run(
                _load(f"http://127.0.0.1:{port}", sandbox_url, owners, window, tasks, seconds)
            )


async def _load(
    url: str, sandbox_url: str, owners: dict[str, str], window: int, tasks: int, seconds: float
) -> float:
    def client(owner: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {owners[owner]}"}
        return httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False)

    async def creations() -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            stats = (await http.get(f"{sandbox_url}/sandbox/stats")).raise_for_status().json()
        return int(stats["creations"]["total"])

    async with client("big") as big, client("small") as small:
        alone = [await _wait(small) for _ in range(ALONE)]
        began = time.monotonic()
        numbers = iter(range(tasks))

        async def post() -> None:
            for number in numbers:
                await _ask(big, f"第{number}句话")

        await asyncio.gather(*(post() for _ in range(AT_ONCE)))
        accepted = time.monotonic() - began
        first, began = await creations(), time.monotonic()
        waits = []
        while time.monotonic() < began + seconds:
            waits.append(await _wait(small))
            await asyncio.sleep(PAUSE_SECONDS)
        done = await creations()
        rate = (done - first) / (time.monotonic() - began)
    print(  # noqa: T201
        f"window {window:3}: {tasks} tasks accepted in {accepted:.0f} s, {rate:.1f} tasks/s, "
        f"{tasks + ALONE + len(waits) - done} still wait\n"
        f"  small owner: alone {statistics.median(alone):.2f} s   under load median "
        f"{statistics.median(waits):.2f} s   longest {max(waits):.2f} s   of {len(waits)}"
    )
    return statistics.median(waits)


async def _ask(http: httpx.AsyncClient, text: str) -> str:
    answer = await http.post("/api/tts", json={"templateId": "template1", "tts_text": text})
    return str(answer.raise_for_status().json()["data"]["taskId"])


async def _wait(http: httpx.AsyncClient) -> float:
    """Seconds from the request to the audio, as the log has them."""
    task_id = await _ask(http, "一句话")
    while True:
        task = (await http.get(f"/api/tts/task/{task_id}")).raise_for_status().json()["data"]
        if task["status"] in {"failed", "canceled"}:
            raise RuntimeError(f"task {task_id}: {task.get('error', task['status'])}")
        if task["completedAt"]:
            ended, asked = (datetime.fromisoformat(task[t]) for t in ("completedAt", "createdAt"))
            return (ended - asked).total_seconds()
        await asyncio.sleep(0.05)
