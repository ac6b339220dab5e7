"""POSTs a second over 64 connections: bare, ours, with a key a request, with two workers.

Each is fresh, by turns, on both stores; the bare Sanic handler stores nothing. On two cores, wrk
and PostgreSQL run on the same two as the workers, so the note says what a second worker could gain.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from tests.bench.load import CONNECTIONS, KEYED
from tests.bench.peers import MACHINE, RATE, idle_generator, take_turns
from tests.bench.records import Goal, Record, Row
from tests.bench.subjects import BARE, SYNCED, Subject, bare, ours

ROUNDS, SECONDS = 3, 3
SQLITE, POSTGRES = "SQLite", "PostgreSQL"
SETTINGS = {SQLITE: "WAL, synchronous=FULL", POSTGRES: SYNCED}
CORES = os.cpu_count() or 1


def main(rounds: int = ROUNDS, seconds: int = SECONDS) -> Record:
    """Both stores, one worker and two."""
    subjects = [bare(), *(subject for store in SETTINGS for subject in _of(store))]
    rows = {row.subject: row for row in take_turns(subjects, rounds, seconds)}
    goals = [
        *(
            Goal(f"{store}: ours / bare", _ratio(rows, _name(store), BARE), 0.75)
            for store in SETTINGS
        ),
        *(
            Goal(f"{store}: two workers / one", _ratio(rows, _two(store), _name(store)), 1.7)
            for store in SETTINGS
        ),
        idle_generator(rows.values()),
    ]
    notes = [_bound(store, rows[_name(store)]) for store in SETTINGS]
    title = f"Accept, {CONNECTIONS} connections, {CORES} cores"
    return Record("accept", title, list(rows.values()), goals, ratio_to=BARE, notes=notes)


def _of(store: str) -> list[Subject]:
    postgres, settings = store == POSTGRES, SETTINGS[store]
    return [
        ours(_name(store), settings, postgres=postgres),
        ours(f"{_name(store)}, with keys", settings, postgres=postgres, script=KEYED),
        ours(_two(store), settings, postgres=postgres, workers=2),
    ]


def _name(store: str) -> str:
    return f"tts on {store}"


def _two(store: str) -> str:
    return f"{_name(store)}, 2 workers"


def _ratio(rows: Mapping[str, Row], subject: str, other: str) -> float:
    return rows[subject].median(RATE) / rows[other].median(RATE)


def _bound(store: str, row: Row) -> str:
    """What the machine allows, in a sentence."""
    busy = row.median(MACHINE) / 100
    return (
        f"{store}: with one worker, {busy:.2f} of {CORES} cores were busy, wrk and the store's "
        f"server among them; at the same cost a request, a second worker can bring "
        f"{CORES / busy:.2f} × at most."
    )
