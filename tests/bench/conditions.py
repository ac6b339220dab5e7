"""Where and when a measurement was made, for whoever compares it with another."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.records import Record

# Said of a machine on which others work meanwhile: then only ratios tell something.
SHARED = "BENCH_SHARED"

MEASURED = ("tts", "gateway", "projections")
PROGRAMS = {
    "PostgreSQL": ("psql", "--version"),
    "Redis": ("redis-server", "--version"),
    "Node": ("node", "--version"),
    "wrk": ("wrk", "--version"),
}


def with_conditions(record: Record) -> Record:
    """The same record, with the machine, the moment and the commit."""
    found = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "at": _commit(),
        "on": f"{os.cpu_count()} cores ({_processor()}), {_gigabytes()} GB",
        "Linux": platform.release(),
        "Python": platform.python_version(),
        **{name: _version(*command) for name, command in PROGRAMS.items()},
        "RabbitMQ": _rabbitmq(),
    }
    if os.environ.get(SHARED):
        found["others"] = "worked on the machine meanwhile: only the ratios tell something"
    return replace(record, conditions=found)


def _version(*command: str) -> str:
    """The first word with a point between digits that the program says of itself."""
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.[\d.]*\d", said.stdout + said.stderr)
    return found[0] if found else "unknown"


def _rabbitmq() -> str:
    """Of the folder's name: to ask the node would take seconds."""
    folders = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
    return max((folder.name.partition("-")[2] for folder in folders), default="unknown")


def _commit() -> str:
    """Of the service: what a measurement writes beside it does not count."""
    commit = _git("rev-parse", "--short", "HEAD")
    return f"{commit}-changed" if _git("status", "--porcelain", "--", *MEASURED) else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _gigabytes() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
