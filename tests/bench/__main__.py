"""``python -m tests.bench [--record] [NAME …]``: measurements, each with its goals.

With ``--record`` those that have a table in ops/benchmarks.md write it anew, with its picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.bench import (
    accept,
    append,
    archive,
    capacity,
    conditions,
    cost,
    fairness,
    fanout,
    footprint,
    growth,
    latency,
    peers,
    rebuild,
    report,
    soak,
    start,
)
from tests.bench.records import Record

MEASUREMENTS: dict[str, Callable[[], object]] = {
    "peers": peers.main,
    "accept": accept.main,
    "append": append.main,
    "start": start.main,
    "footprint": footprint.main,
    "rebuild": rebuild.main,
    "soak": soak.main,
    "archive": archive.main,
    "capacity": capacity.main,
    "cost": cost.main,
    "fairness": fairness.main,
    "fanout": fanout.main,
    "growth": growth.main,
    "latency": latency.main,
}
RECORD = "--record"


def main() -> None:
    """Run the named measurements, all if none is named."""
    names = [word for word in sys.argv[1:] if word != RECORD] or list(MEASUREMENTS)
    for name in names:
        if name not in MEASUREMENTS:
            sys.exit(f"{name!r} is no measurement; there are {', '.join(MEASUREMENTS)}")
    for name in names:
        print(f"\n== {name}: {sys.modules[MEASUREMENTS[name].__module__].__doc__}", flush=True)  # noqa: T201
        found = MEASUREMENTS[name]()
        if isinstance(found, Record):
            report.show(found)
            if RECORD in sys.argv:
                conditions.with_conditions(found).save()
                report.main()


main()
