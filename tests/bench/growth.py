"""Every operation beside a short log and a long one, of GROWTH_EVENTS, by turns.

Nothing may cost more because the log is long. What a task takes on the disk is printed as well.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import httpx

from tests.bench import growth_disk
from tests.bench.growth_log import fill
from tests.bench.growth_site import Site
from tests.bench.processes import running, wait_for
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.stores import Backend

SHORT = 10_000
LONG = int(os.environ.get("GROWTH_EVENTS", "200000"))
ROUNDS = 3
SAMPLE = 40  # tasks that are asked for
START_SECONDS = 120

MILLISECONDS: Mapping[str, Callable[[Site], float]] = {
    "accept": Site.accept,
    "task": Site.task,
    "timeline": Site.timeline,
    "list": Site.newest,
    "list by status": Site.of_a_rare_status,
    "list by template": Site.of_a_rare_template,
    "dead letters": Site.dead_letters,
    "resume": Site.resume,
    "CPU idle, a second": Site.idle,
    "CPU a task": Site.work,
}


def main(long: int = LONG, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Print and return the ratios long / short for each store."""
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
        ratios = {"sqlite": _compare("sqlite", Path(folder), None, long, rounds)}
        postgres = Postgres(fsync=True)
        try:
            ratios["postgresql"] = _compare("postgresql", Path(folder), postgres, long, rounds)
        finally:
            postgres.stop()
    return ratios


def _compare(
    name: str, folder: Path, postgres: Postgres | None, long: int, rounds: int
) -> dict[str, float]:
    _say(f"{name}: {SHORT} events and {long}   (wanted: ratios of at most 1.10)")
    with ExitStack() as stack:
        short, grown = (
            stack.enter_context(_site(folder / f"{name}-{events}", postgres, events))
            for events in (SHORT, long)
        )
        ratios = {
            what: _ratio(what, "ms", 1000, measure, (short, grown), rounds)
            for what, measure in MILLISECONDS.items()
        }
        ratios["memory"] = _ratio("memory", "MB", 1, Site.memory, (short, grown), 1)
    return ratios


def _ratio(
    what: str,
    unit: str,
    factor: float,
    measure: Callable[[Site], float],
    sites: tuple[Site, Site],
    rounds: int,
) -> float:
    figures: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for site, measured in zip(sites, figures, strict=True):
            measured.append(measure(site) * factor)
    short, grown = map(statistics.median, figures)
    ratio = grown / short if short else 1.0
    _say(f"{what:>20}: {short:8.2f} {unit}  {grown:8.2f} {unit}   ratio {ratio:.2f}")
    return ratio


@contextmanager
def _site(folder: Path, postgres: Postgres | None, events: int) -> Iterator[Site]:
    folder.mkdir()
    url = postgres.create_database() if postgres else f"sqlite:///{folder / 'tts.db'}"
    backend = Backend(url)
    began = time.monotonic()
    tasks = asyncio.run(fill(backend, events))
    _say(f"{events:>20} events filled in {time.monotonic() - began:.0f} s")
    growth_disk.show(backend, tasks)
    ids = backend.sql("SELECT originator_id FROM stored_events WHERE originator_version = 1")
    task_ids = [str(UUID(str(row[0]))) for row in ids[:: max(1, len(ids) // SAMPLE)]]
    port, sandbox = free_port(), free_port()
    env = {"SANDBOX_PORT": str(sandbox)} | ({"EVENT_STORE_URL": url} if postgres else {})
    arguments = ["-m", "tts", "up", "--port", str(port), "--data", str(folder)]
    with running(arguments, env) as process:
        began = time.monotonic()
        wait_for(f"http://127.0.0.1:{port}/health", process, START_SECONDS)
        _say(f"{'start':>20}: {time.monotonic() - began:.2f} s")
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=90, trust_env=False
        ) as client:
            yield Site(client, process.pid, task_ids)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
