"""A machine whose time is wrong, so that tests can run our processes on it."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.services.clock import Clock
from tests.services.ports import free_port
from tests.services.tts import Tts

GRAIN = 0.1  # seconds
SAY = "import time\nwhile input() == '': print(time.time(), time.monotonic(), flush=True)"


def test_the_wall_clock_is_set_while_a_process_reads_it_and_the_monotonic_runs_on(
    clock: Clock,
) -> None:
    """Each new offset holds from the next look at the clock on, forwards and backwards."""
    clock.set(3600)
    process = subprocess.Popen(
        [sys.executable, "-c", SAY],
        env={**os.environ, **clock.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def is_ahead_by(seconds: float) -> bool:
        """What it says lies between what the true clocks say before and after."""
        assert process.stdin is not None
        assert process.stdout is not None
        asked = (time.time() + seconds, time.monotonic())
        process.stdin.write("\n")
        process.stdin.flush()
        said = map(float, process.stdout.readline().split())
        answered = (time.time() + seconds, time.monotonic())
        times = zip(asked, said, answered, strict=True)
        return all(a - GRAIN <= b <= c + GRAIN for a, b, c in times)

    try:
        assert is_ahead_by(3600)
        clock.step(-7200)
        assert is_ahead_by(-3600)
        clock.set(0)
        assert is_ahead_by(0)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.cluster
def test_our_processes_live_by_it(clock: Clock, tmp_path: Path) -> None:
    """The whole service starts on a wrong clock, and what it logs has the wrong time."""
    clock.set(3600)
    port = free_port()
    options = ["--port", str(port), "--data", str(tmp_path)]
    env = {"SANDBOX_PORT": str(free_port()), **clock.env}
    service = Tts("up", *options, env=env, fresh=True)
    try:
        service.wait_for(f"http://127.0.0.1:{port}/health")
        line = next(line for line in service.log.splitlines() if line.startswith("{"))
        ahead = datetime.fromisoformat(json.loads(line)["timestamp"]) - datetime.now(UTC)
        assert 3000 < ahead.total_seconds() < 3700
    finally:
        service.stop()
