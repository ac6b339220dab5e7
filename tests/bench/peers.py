"""Durable POSTs a second of one process, 64 connections: ours and the peers, each fresh, by turns.

Each is set as its makers advise for work that must not be lost: an answer means that the task is on
disk. Nobody works on the tasks meanwhile. The bare handler stores nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from tests.bench.load import CONNECTIONS, load
from tests.bench.processes import family_cpu_seconds, machine_cpu_seconds
from tests.bench.records import Goal, Record, Row
from tests.bench.subjects import (
    BARE,
    CELERY,
    PEERS,
    POSTGRES,
    PROCRASTINATE,
    SQLITE,
    SUBJECTS,
    Servers,
    Subject,
)

ROUNDS, SECONDS, WARMING_SECONDS = 3, 3, 1
RATE, WRK, MACHINE = "POSTs/s", "wrk's CPU %", "machine %"
BUSY = 90  # percent of a core; with more, wrk would be what is measured


def main(rounds: int = ROUNDS, seconds: int = SECONDS) -> Record:
    """Each subject in turn, so many times over."""
    rows = take_turns(SUBJECTS, rounds, seconds)
    rate = {row.subject: row.median(RATE) for row in rows}
    best = max(rate[peer.name] for peer in PEERS)
    slowest = min(rate[SQLITE], rate[POSTGRES])
    goals = [
        *(Goal(f"{name} / best durable peer", rate[name] / best, 2) for name in (SQLITE, POSTGRES)),
        *(
            Goal(f"the slower of ours / {name}", slowest / rate[name], 5)
            for name in (CELERY, PROCRASTINATE)
        ),
        idle_generator(rows),
    ]
    title = f"Accept, durable, {CONNECTIONS} connections, one process"
    return Record("peers", title, rows, goals, ratio_to=BARE)


def take_turns(subjects: Sequence[Subject], rounds: int, seconds: int) -> list[Row]:
    """Each is started anew in each turn, warmed and measured."""
    figures: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        servers = Servers(stack)
        for _ in range(rounds):
            for subject in subjects:
                for measure, figure in _turn(subject, servers, seconds).items():
                    turns = figures.setdefault(subject.name, {}).setdefault(measure, [])
                    turns.append(figure)
    return [Row(each.name, figures[each.name], each.described()) for each in subjects]


def _turn(subject: Subject, servers: Servers, seconds: int) -> dict[str, float]:
    with subject.started(servers) as (port, process):
        load(port, WARMING_SECONDS, script=subject.script)
        began = time.monotonic()
        before, machine = family_cpu_seconds(process.pid), machine_cpu_seconds()
        found = load(port, seconds, script=subject.script)
        elapsed = time.monotonic() - began
        own = (family_cpu_seconds(process.pid) - before) / elapsed
        machine = (machine_cpu_seconds() - machine) / elapsed
    return {
        RATE: found.rate,
        "p50 ms": found.middle,
        "p99 ms": found.late,
        "its CPU %": 100 * own,
        WRK: 100 * found.wrk,
        MACHINE: 100 * machine,
    }


def idle_generator(rows: Iterable[Row]) -> Goal:
    """The load generator is not what is measured."""
    most = max(max(row.figures[WRK]) for row in rows)
    return Goal("wrk's part of a core, in its busiest turn", most, BUSY, at_least=False, unit="%")
