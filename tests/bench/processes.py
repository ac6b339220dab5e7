"""Processes under measurement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services.process import TICKS, cpu_seconds, descendants


@contextmanager
def running(
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    program: str = sys.executable,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the context; of this environment's Python if not told otherwise."""
    process = subprocess.Popen(
        [program, *arguments],
        env={**os.environ, "LOG_LEVEL": "ERROR", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def family_cpu_seconds(pid: int) -> float:
    """The same of the process and all that it started."""
    return sum(map(cpu_seconds, [pid, *descendants(pid)]))


def machine_cpu_seconds() -> float:
    """What all cores of the machine together were busy so far, with waits for the disk left out."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _idle, _waiting, interrupts, soft, *_ = map(int, fields)
    return (user + nice + system + interrupts + soft) / TICKS


def resident_megabytes(pid: int) -> float:
    """The memory that the process has at this moment."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def pin(pid: int, core: int) -> None:
    """Keep all threads of the process on one core, counted from 0."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cores[core % len(cores)]})


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Return when ``url`` answers; fail at once when the process ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            httpx.get(url, timeout=2, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} did not answer within {seconds} s")
