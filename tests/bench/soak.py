"""Minutes at 60 % of what the service can speak: memory, descriptors and waits, minute by minute.

SOAK_MINUTES says how many. One embedded service; the sandbox and the clients have their own
processes on the same machine. The first minute is for warming up, and not compared.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.bench.processes import resident_megabytes
from tests.bench.records import Goal, Record, Row
from tests.bench.sites import Site, embedded

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
PART = 0.6
CAPACITY_TASKS = 200
MINUTE = 60.0
GROWTH, SLOWDOWN, DESCRIPTORS = 1.1, 1.5, 8


def main(minutes: float = MINUTES, minute: float = MINUTE) -> Record:
    """A row for each minute; ``minute`` is its seconds."""
    with embedded() as site:
        site.customers.capacity(20)  # connections are open, templates were fetched
        rate = PART * site.customers.capacity(CAPACITY_TASKS)
        count = max(2, round(minutes))
        rows = [_minute(site, f"tts, minute {n + 1}", rate, minute) for n in range(count)]
    notes = [
        f"{rate:.1f} tasks a second, each waited for; a minute had {minute:.0f} seconds.",
        "What grew is told of the last minute over the second.",
    ]
    title = f"Soak at {PART:.0%} load"
    return Record("soak", title, rows, _goals(rows), notes=notes)


def _minute(site: Site, name: str, rate: float, seconds: float) -> Row:
    posted = sorted(each.seconds for each in site.customers.steadily(rate, seconds, wait=True))
    (process,) = site.processes.values()
    figures = {
        "MB": resident_megabytes(process.pid),
        "descriptors": float(len(list(Path(f"/proc/{process.pid}/fd").iterdir()))),
        "p50 ms": 1000 * statistics.median(posted),
        "p99 ms": 1000 * posted[len(posted) * 99 // 100],
        "tasks": float(len(posted)),
    }
    return Row(name, {measure: [figure] for measure, figure in figures.items()})


def _goals(rows: Sequence[Row]) -> list[Goal]:
    begun, last = rows[1] if len(rows) > 2 else rows[0], rows[-1]

    def grown(measure: str) -> float:
        return last.median(measure) / begun.median(measure)

    more = last.median("descriptors") - begun.median("descriptors")
    return [
        Goal("memory, last minute / second", grown("MB"), GROWTH, at_least=False),
        Goal("p99, last minute / second", grown("p99 ms"), SLOWDOWN, at_least=False),
        Goal("descriptors, last minute − second", more, DESCRIPTORS, at_least=False, unit="more"),
    ]
