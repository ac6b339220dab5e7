"""What a process takes before anybody has come, and how long its start is, each anew, by turns.

The start ends with the first answer of ``/health``, which is asked for every few milliseconds.
"""

from __future__ import annotations

import http.client
import subprocess
import tempfile
import time
from contextlib import suppress

from tests.bench.processes import resident_megabytes, running
from tests.bench.records import Goal, Record, Row
from tests.services.ports import free_port

ROUNDS = 5
LOOK_SECONDS, SECONDS = 0.005, 90.0
UP, GATEWAY = "tts up", "tts gateway"
COMMANDS = {UP: "up", GATEWAY: "gateway"}


def main(rounds: int = ROUNDS) -> Record:
    """Both commands on SQLite, an empty folder each time."""
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            seconds, megabytes = _started(command)
            found = figures.setdefault(name, {"seconds to healthy": [], "MB": []})
            found["seconds to healthy"].append(seconds)
            found["MB"].append(megabytes)
    rows = {name: Row(name, found) for name, found in figures.items()}
    goals = [
        Goal(
            f"{UP} to healthy", rows[UP].median("seconds to healthy"), 1, at_least=False, unit="s"
        ),
        *(
            Goal(f"memory of {name}", row.median("MB"), 80, at_least=False, unit="MB")
            for name, row in rows.items()
        ),
    ]
    return Record("footprint", "Start of a process", list(rows.values()), goals)


def _started(command: str) -> tuple[float, float]:
    """Seconds until it is healthy, and the megabytes that it has then."""
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
        port, sandbox = free_port(), free_port()
        arguments = ["-m", "tts", command, "--port", str(port), "--data", folder]
        began = time.monotonic()
        with running(arguments, {"SANDBOX_PORT": str(sandbox)}) as process:
            _until_healthy(port, process)
            return time.monotonic() - began, resident_megabytes(process.pid)


def _until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{process.args!r} was not healthy within {SECONDS} s")
