"""What requests pay while ``tts archive`` moves half of a log of ARCHIVE_EVENTS into files.

A gateway gets a POST every 20 ms, first alone and then beside the archive. The disk's share is
printed as well: what archiving leaves behind in the tables, and what the database's own upkeep
(VACUUM) then makes of it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg

from tests.bench.growth_log import TEXT, fill
from tests.bench.processes import running, wait_for
from tests.builders import NOW
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.stores import Backend

EVENTS = int(os.environ.get("ARCHIVE_EVENTS", "200000"))
PAUSE_SECONDS, ALONE_SECONDS = 0.02, 15.0


def main(events: int = EVENTS) -> dict[str, float]:
    """Print what was found, and return p99 beside / p99 alone for each store."""
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
        ratios = {"sqlite": _beside("sqlite", Path(folder), None, events)}
        postgres = Postgres(fsync=True)
        try:
            ratios["postgresql"] = _beside("postgresql", Path(folder), postgres, events)
        finally:
            postgres.stop()
    return ratios


def _beside(name: str, folder: Path, postgres: Postgres | None, events: int) -> float:
    data = folder / name
    data.mkdir()
    url = postgres.create_database() if postgres else f"sqlite:///{data / 'tts.db'}"
    backend = Backend(url)
    tasks = asyncio.run(fill(backend, events))
    port = free_port()
    env = {"EVENT_STORE_URL": url, "REPLICATE_API_TOKEN": "", "RATE_LIMIT_PER_ADDRESS": "0"}
    gateway = ["-m", "tts", "gateway", "--port", str(port), "--data", str(data)]
    half = NOW + timedelta(milliseconds=50 * tasks / 2)
    archive = ["archive", "--before", half.isoformat(), "--to", str(folder / f"{name}-archive")]
    with running(gateway, env) as process:
        site = f"http://127.0.0.1:{port}"
        wait_for(f"{site}/health", process)
        with httpx.Client(base_url=site, timeout=60, trust_env=False) as client:
            began = time.monotonic()
            alone = _posts(client, lambda: time.monotonic() < began + ALONE_SECONDS)
            before = _size(backend)
            command = [sys.executable, "-m", "tts", *archive, "--data", str(data)]
            began = time.monotonic()
            with subprocess.Popen(command, env={**os.environ, **env}) as archiving:
                beside = _posts(client, lambda: archiving.poll() is None)
            seconds = time.monotonic() - began
    if archiving.returncode != 0:
        raise RuntimeError(f"{command} ended with {archiving.returncode}")
    moved = backend.sql("SELECT count(*) FROM archived_tasks")[0][0]
    after = _size(backend)
    if not backend.is_sqlite:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM stored_events")
    ratio = _p99(beside) / _p99(alone)
    _say(f"{name}: {moved} of {tasks} tasks archived in {seconds:.1f} s")
    _say(f"  log {before:.0f} MB, then {after:.0f} MB, {_size(backend):.0f} MB after VACUUM")
    _say(f"  POST alone:  {_shown(alone)}")
    _say(f"  POST beside: {_shown(beside)}, p99 {ratio:.2f} × as long")
    return ratio


def _posts(client: httpx.Client, goes_on: Callable[[], bool]) -> list[float]:
    """The milliseconds of each request, one every so often."""
    found = []
    while goes_on():
        began = time.perf_counter()
        order = {"templateId": "template1", "tts_text": TEXT}
        client.post("/api/tts", json=order).raise_for_status()
        seconds = time.perf_counter() - began
        found.append(seconds * 1000)
        time.sleep(max(0.0, PAUSE_SECONDS - seconds))
    return found


def _size(backend: Backend) -> float:
    """Megabytes of the log, with its indexes."""
    if backend.is_sqlite:
        return backend.path.stat().st_size / 1e6
    return float(backend.sql("SELECT pg_total_relation_size('stored_events')")[0][0]) / 1e6


def _shown(milliseconds: list[float]) -> str:
    p50, most = statistics.median(milliseconds), max(milliseconds)
    p99 = _p99(milliseconds)
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {most:.0f} ms of {len(milliseconds)}"


def _p99(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=100)[-1]


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201
