"""A text of 10,000 characters as a user posts it: spoken whole, heard early, in little memory."""

from pathlib import Path

import httpx
import pytest

from tests.services.ports import free_port
from tests.services.tts import Tts
from tts.client import Client

# Fifteen seconds of speech each: some 45 parts of 1.4 MB as the model gives them, 30 MB joined.
LONG = " ".join(f"This is sentence {n} of a very long story." for n in range(1, 400))[:10_000]
MEGABYTE = 1024  # in the unit of /proc
# Nobody is told that those behind the first 49 are spoken, until the rule is taken away.
MOST_ARE_SLOW = {
    "route": "get",
    "fault": "status",
    "args": {"status": 503},
    "match": r"sentence ([5-9]|\d\d)\d ",
}


@pytest.fixture
def sandbox():
    port = free_port()
    process = Tts("sandbox", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    process.wait_for(f"{url}/sandbox")
    settings = {"speech": "tone", "boot_seconds": 0.05, "predict_seconds": 0.1}
    httpx.patch(f"{url}/sandbox/settings", json=settings, trust_env=False).raise_for_status()
    yield url
    process.stop()


@pytest.fixture
def up(sandbox, tmp_path):
    port = free_port()
    process = Tts(
        "up",
        "--port",
        str(port),
        "--data",
        str(tmp_path),
        env={
            "REPLICATE_BASE_URL": sandbox,
            "TEMPLATE_BASE_URL": sandbox,
            "REPLICATE_API_TOKEN": "any",
            "REPLICATE_POLL_INTERVAL_MS": "50",
        },
    )
    process.wait_for(f"http://127.0.0.1:{port}/health")
    yield process, Client(f"http://127.0.0.1:{port}", trust_env=False)
    process.stop()


def peak_memory(pid: int) -> int:
    """The most memory that the process ever had, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def test_ten_thousand_characters_take_less_than_64_megabytes(up, sandbox):
    """The parts are stored as they come and joined one after the other, and heard before that."""
    process, client = up
    faults = f"{sandbox}/sandbox/faults"
    with client:
        client.generate("template1", LONG[:400], wait=True)  # what is loaded once is loaded
        before = peak_memory(process.pid)
        httpx.put(faults, json=[MOST_ARE_SLOW], trust_env=False).raise_for_status()
        task_id = client.generate("template1", LONG).task_id
        heard = client.audio_parts(task_id)
        parts = [next(heard)]
        httpx.delete(faults, trust_env=False).raise_for_status()
        parts += heard
        task = client.task(task_id)
        grown = peak_memory(process.pid) - before
    assert task.status == "succeeded"
    assert [part.segment for part in parts] == list(range(task.segments or 0))
    assert len(parts) >= 40
    assert task.bytes > 25_000_000
    assert grown < 64 * MEGABYTE
