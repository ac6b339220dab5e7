"""Which place of each read model serves, and how far each has come: one small table.

A position is written in the transaction that writes the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from projections.ports import Database, Projection, Transaction
from projections.table import PLACES

TABLE = """
CREATE TABLE IF NOT EXISTS read_models (
    name text NOT NULL,
    place integer NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    serving boolean NOT NULL,
    trouble text,
    began_at text NOT NULL,
    PRIMARY KEY (name, place)
)"""
NO_VERSION = 0
_COLUMNS = "name, place, version, position, serving, trouble, began_at"
_ALL = f"SELECT {_COLUMNS} FROM read_models ORDER BY name, place"  # noqa: S608 -- names above
_LOCKED = (
    "UPDATE read_models SET position = position WHERE name = ? RETURNING place, position, serving"
)
_BEGIN = (
    f"INSERT INTO read_models ({_COLUMNS}) "  # noqa: S608 -- names above
    "VALUES (?, ?, ?, 0, ?, NULL, ?)"
)
_ADOPT = (
    "UPDATE read_models SET version = ?, began_at = ? "
    "WHERE name = ? AND place = ? AND version = ? AND position = 0"
)
_SERVE = "UPDATE read_models SET serving = (place = ?) WHERE name = ?"
_FORGET = "DELETE FROM read_models WHERE name = ? AND place = ?"
_TROUBLE = "UPDATE read_models SET trouble = ? WHERE name = ? AND serving"


@dataclass(frozen=True, slots=True)
class Standing:
    """The rows of a read model in one place; ``trouble`` is why they do not go on, or None."""

    name: str
    place: int
    version: int
    position: int
    serving: bool
    trouble: str | None
    began_at: str


async def standings(database: Database | Transaction) -> list[Standing]:
    """Those of all read models."""
    return [
        Standing(name, place, version, position, bool(serving), trouble, began_at)
        for name, place, version, position, serving, trouble, began_at in await database.fetch(_ALL)
    ]


async def serving(database: Database | Transaction) -> dict[str, Standing]:
    """Those that are read, by name."""
    return {each.name: each for each in await standings(database) if each.serving}


def beginning(name: str) -> str:
    """The statement that has the first place serve, of a version before all others."""
    return (
        f"INSERT INTO read_models ({_COLUMNS}) "  # noqa: S608 -- names of ours
        f"VALUES ('{name}', {PLACES[0]}, {NO_VERSION}, 0, TRUE, NULL, '')"
    )


async def adopt(transaction: Transaction, projection: Projection, place: int) -> None:
    """Write rows of this projection's version where there are none."""
    values = (projection.version, _now(), projection.name, place, NO_VERSION)
    await transaction.execute(_ADOPT, values)


async def begin_anew(transaction: Transaction, projection: Projection) -> int:
    """Clear the place that does not serve, for rows from the first event on; returns which."""
    place = await idle_place(transaction, projection)
    await clear(transaction, projection, place)
    await transaction.execute(_BEGIN, (projection.name, place, projection.version, False, _now()))
    return place


async def idle_place(transaction: Transaction, projection: Projection) -> int:
    """The place of the read model that does not serve."""
    (idle,) = set(PLACES) - {(await serving(transaction))[projection.name].place}
    return idle


async def serve(transaction: Transaction, name: str, place: int) -> None:
    """Have everybody who reads see that place from the end of the transaction on."""
    await transaction.execute(_SERVE, (place, name))


async def clear(transaction: Transaction, projection: Projection, place: int) -> None:
    """Remove the rows of a place that nobody reads."""
    # Its standing first, which who writes the rows holds: else each would wait for the other.
    await transaction.execute(_FORGET, (projection.name, place))
    for table in projection.tables:
        await transaction.clear(table, place)


async def locked(transaction: Transaction, name: str) -> dict[int, int]:
    """The position of each place, that which serves first; nobody moves meanwhile."""
    rows = await transaction.fetch(_LOCKED, (name,))
    return {place: int(position) for place, position, _ in sorted(rows, key=lambda row: not row[2])}


async def move(
    transaction: Transaction,
    models: Collection[tuple[str, int]],
    old: int,
    new: int,
    *,
    serving: bool,
) -> set[tuple[str, int]]:
    """Move the positions of those (name, place) that stand at ``old``; returns which did.

    Only of those that serve, or only of those that do not: who moves a place on that serves no more
    has to look for the one that does. They are locked until the end of the transaction: of two
    processes that both believe to lead, one writes each event.
    """
    choice = " OR ".join(["(name = ? AND place = ?)"] * len(models))
    sql = (
        "UPDATE read_models SET position = ?, trouble = NULL "  # noqa: S608 -- made of marks
        f"WHERE position = ? AND serving = ? AND ({choice}) RETURNING name, place"
    )
    chosen = (part for each in models for part in each)
    return set(await transaction.fetch(sql, [new, old, serving, *chosen]))


async def tell_trouble(transaction: Transaction, name: str, trouble: str) -> None:
    """Say why a read model does not go on, for those who look at the list."""
    await transaction.execute(_TROUBLE, (trouble, name))


def _now() -> str:
    return datetime.now(UTC).isoformat()
