"""``python -m tests.bench [accept|cost|fairness|fanout|growth|latency …]``: a table for each."""

from __future__ import annotations

import sys

from tests.bench import accept, cost, fairness, fanout, growth, latency

MEASUREMENTS = {
    "accept": accept.main,
    "cost": cost.main,
    "fairness": fairness.main,
    "fanout": fanout.main,
    "growth": growth.main,
    "latency": latency.main,
}


def main() -> None:
    """Run the named measurements."""
    names = sys.argv[1:] or list(MEASUREMENTS)
    for name in names:
        if name not in MEASUREMENTS:
            sys.exit(f"{name!r} is no measurement; there are {', '.join(MEASUREMENTS)}")
    for name in names:
        print(f"\n== {name}: {sys.modules[MEASUREMENTS[name].__module__].__doc__}")  # noqa: T201
        MEASUREMENTS[name]()


main()
