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
    *(statement for p, table in _TABLES for statement in table.creation(p.name)),
    # From the first event on: where a table was missing, so are its rows.
    "DELETE FROM read_models",
    *(f"DELETE FROM {table.at(PLACES[0])}" for _, table in _TABLES),  # noqa: S608 -- names of ours
    *(registry.beginning(projection.name) for projection in PROJECTIONS),
)

SCHEMA = Schema(
    part="read models",
    version=2,
    script="".join(f"{statement};\n" for statement in _STATEMENTS),
    tables={
        "read_models": _RIGHTS,
        **{table.at(place): f"{_RIGHTS}, TRUNCATE" for _, table in _TABLES for place in PLACES},
        **{table.view: "SELECT" for _, table in _TABLES},
    },
)
