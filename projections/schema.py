"""The tables of all read models, as a database remembers their version."""

from __future__ import annotations

from projections import registry
from projections.all_models import PROJECTIONS
from projections.table import PLACES
from tts.ports.schema import Schema

# What a service from before there were two places has left: it comes out of the log again.
_OLDER = (
    "rm_positions",
    "rm_tasks",
    "rm_dead_letters",
    "rm_task_counts",
    "rm_usage",
    "rm_usage_owners",
    "rm_usage_tasks",
)
_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
_TABLES = [(projection, table) for projection in PROJECTIONS for table in projection.tables]
_STATEMENTS = (
    *(f"DROP TABLE IF EXISTS {table}" for table in _OLDER),
    registry.TABLE.strip(),
    # From the first event on, as what an older version has is of other columns, or not there.
    "DELETE FROM read_models",
    *(f"DROP VIEW IF EXISTS {table.view}" for _, table in _TABLES),
    *(f"DROP TABLE IF EXISTS {table.at(place)}" for _, table in _TABLES for place in PLACES),
    *(statement for p, table in _TABLES for statement in table.creation(p.name)),
    *(registry.beginning(projection.name) for projection in PROJECTIONS),
)

SCHEMA = Schema(
    part="read models",
    version=3,
    script="".join(f"{statement};\n" for statement in _STATEMENTS),
    tables={
        "read_models": _RIGHTS,
        **{table.at(place): f"{_RIGHTS}, TRUNCATE" for _, table in _TABLES for place in PLACES},
        **{table.view: "SELECT" for _, table in _TABLES},
    },
)
