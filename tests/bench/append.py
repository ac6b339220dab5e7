"""Events a second that 64 tasks append to PostgreSQL: our store, and the recorder as shipped.

Both have a process and an empty database of their own in each turn, on one server that syncs.
"""

from __future__ import annotations

import subprocess
import sys

from tests.bench.records import Goal, Record, Row
from tests.bench.subjects import SYNCED
from tests.services.postgres import Postgres

ROUNDS, SECONDS, TASKS = 3, 4, 64
OURS, SHIPPED = "tts store", "eventsourcing recorder"
KINDS = {OURS: "ours", SHIPPED: "shipped"}
SETTINGS = {
    OURS: f"{SYNCED}, group commit over one connection, asyncio",
    SHIPPED: f"{SYNCED}, its own pool settings, a thread a task",
}


def main(rounds: int = ROUNDS, seconds: int = SECONDS) -> Record:
    """By turns."""
    rates: dict[str, list[float]] = {name: [] for name in KINDS}
    postgres = Postgres(fsync=True)
    try:
        for _ in range(rounds):
            for name, kind in KINDS.items():
                rates[name].append(_rate(kind, postgres.create_database(), seconds))
    finally:
        postgres.stop()
    rows = [Row(name, {"events/s": turns}, SETTINGS[name]) for name, turns in rates.items()]
    ratio = rows[0].median("events/s") / rows[1].median("events/s")
    goals = [Goal("ours / the recorder as shipped", ratio, 10)]
    title = f"Append to PostgreSQL, {TASKS} tasks at once"
    return Record("append", title, rows, goals, ratio_to=SHIPPED)


def _rate(kind: str, url: str, seconds: float) -> float:
    command = [sys.executable, "-m", "tests.bench.appender", kind, url, str(TASKS), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)
