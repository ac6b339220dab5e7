"""What is left behind after a run: the log, the sandbox's journal, the read model, the queues.

It is read past our own code, with SQL and as JSON.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

_LOG = "SELECT position, task_id, version, topic, state FROM task_log ORDER BY position"


@dataclass(frozen=True)
class Entry:
    """One event of the log."""

    position: int
    task_id: str
    version: int
    kind: str  # the topic without its prefix
    state: dict[str, Any]


def read_log(url: str) -> list[Entry]:
    """Every event, in order."""
    return [
        Entry(position, _id(task_id), version, topic.removeprefix("tts.task."), _json(state))
        for position, task_id, version, topic, state in _rows(url, _LOG)
    ]


def read_texts(url: str) -> dict[str, str]:
    """What was said, by task."""
    return {_id(task): text for task, text in _rows(url, "SELECT task_id, text FROM payloads")}


def read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Every prediction that was paid for, by id; ``canceled`` says that somebody stopped it.

    The sandbox writes over what a prediction was to say an hour after its end: see ``read_inputs``.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text().split("\n")[:-1]:  # the last one may be being written
        record = json.loads(line)
        if "canceled" in record:
            found[record["canceled"]]["canceled"] = True
        else:
            found[record["id"]] = {**record, "canceled": False}
    return found


def read_inputs(path: Path) -> dict[str, dict[str, Any]]:
    """What the predictions were to say, by id, as far as it is not forgotten."""
    return {key: r["input"] for key, r in read_journal(path).items() if r["input"]}


def _rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(sql).fetchall()
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def _id(task_id: Any) -> str:
    """SQLite has ids without their dashes."""
    return str(UUID(str(task_id)))


def _json(state: Any) -> dict[str, Any]:
    """The view's own type: PostgreSQL's is read by its driver."""
    return json.loads(state) if isinstance(state, str) else state


# --- read models


def projected(url: str) -> dict[str, int]:
    """How far each read model has come."""
    return dict(_rows(url, "SELECT name, position FROM read_models WHERE serving"))


def read_models(url: str) -> dict[str, set[tuple[Any, ...]]]:
    """Every row of every read model; a count of nothing says as much as no row."""
    rows = {table: set(_rows(url, f"SELECT * FROM {table}")) for table in _views(url)}  # noqa: S608
    for counts in ("read_task_counts", "read_dead_letter_counts"):
        rows[counts] = {row for row in rows[counts] if row[-1]}
    return rows


def clear_models(url: str) -> None:
    """Forget all of them, and how far they have come."""
    with psycopg.connect(url, autocommit=True) as connection:
        for view in _views(url):
            connection.execute(f"DROP VIEW {view}")
        connection.execute("DELETE FROM read_models")
        tables = "SELECT tablename FROM pg_tables WHERE tablename ~ '^read_.*_[0-9]+$'"
        for (table,) in connection.execute(tables).fetchall():
            connection.execute(f"DROP TABLE {table}")


def dump(url: str, path: Path) -> None:
    """Write the log to a file, one event a line."""
    with path.open("w") as file:
        for entry in read_log(url):
            file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")


def _views(url: str) -> list[str]:
    sql = "SELECT viewname FROM pg_views WHERE viewname LIKE 'read\\_%' ORDER BY 1"
    return [name for (name,) in _rows(url, sql)]
