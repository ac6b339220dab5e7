"""A table of a read model, and the SQL that SQLite and PostgreSQL both understand.

A table has two places, so that its rows can be made anew in one while the other one serves. The
view of the plain name shows those that serve: for people, and where no index has to give the order,
which PostgreSQL does not see through the view. A place that serves no more stays readable for a
moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PLACES = (1, 2)


@dataclass(frozen=True)
class Table:
    """Its columns with their types in SQL, the ``key`` that makes a row unique, and its indexes.

    ``fixed`` columns never change once a row is there. ``sums`` are added to when a row is written
    again, and a row whose sums are all 0 says the same as none. ``latest`` columns keep the greater
    value.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    fixed: frozenset[str] = frozenset()
    sums: frozenset[str] = frozenset()
    latest: frozenset[str] = frozenset()
    indexes: Mapping[str, str] = field(default_factory=dict)

    @property
    def view(self) -> str:
        """What those who read ask."""
        return f"read_{self.name}"

    def at(self, place: int) -> str:
        """The table in that place."""
        return f"{self.view}_{place}"

    def creation(self, model: str) -> list[str]:
        """The statements that make it, with its indexes, in both places, and its view."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        key = ", ".join(self.key)
        shown = " UNION ALL ".join(
            f"SELECT {', '.join(self.columns)} FROM {self.at(place)} WHERE "  # noqa: S608
            f"(SELECT serving FROM read_models WHERE name = '{model}' AND place = {place})"
            for place in PLACES
        )
        return [
            *(
                statement
                for place in PLACES
                for statement in (
                    f"CREATE TABLE IF NOT EXISTS {self.at(place)} ({columns}, PRIMARY KEY ({key}))",
                    *self.indexing(place),
                )
            ),
            f"DROP VIEW IF EXISTS {self.view}",
            f"CREATE VIEW {self.view} AS {shown}",
        ]

    def indexing(self, place: int) -> list[str]:
        """The statements that make its indexes."""
        return [
            f"CREATE INDEX IF NOT EXISTS {self.at(place)}_{name} ON {self.at(place)} {columns}"
            for name, columns in self.indexes.items()
        ]

    def unindexing(self, place: int) -> list[str]:
        """The statements that remove its indexes."""
        return [f"DROP INDEX IF EXISTS {self.at(place)}_{name}" for name in self.indexes]

    def writing(self, place: int, rows: str) -> str:
        """The statement that writes ``rows``, SQL that gives them, over those of the same key."""
        table = self.at(place)
        changes = [
            f"{name} = {self._change(table, name)}"
            for name in self.columns
            if name not in self.key and name not in self.fixed
        ]
        return (
            f"INSERT INTO {table} ({', '.join(self.columns)}) {rows} "
            f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {', '.join(changes)}"
        )

    def _change(self, table: str, name: str) -> str:
        old, new = f"{table}.{name}", f"excluded.{name}"
        if name in self.sums:
            return f"{old} + {new}"
        if name in self.latest:
            return f"CASE WHEN {new} > {old} THEN {new} ELSE {old} END"
        return new

    def removal(self, place: int, column: str) -> str:
        """The statement that deletes the rows with one value in a column."""
        return f"DELETE FROM {self.at(place)} WHERE {column} = ?"  # noqa: S608 -- names of ours

    def difference(self, one: int, other: int) -> str:
        """The query for what one place says and the other does not."""
        columns = ", ".join(self.columns)
        saying = f" WHERE {' OR '.join(f'{name} <> 0' for name in self.sums)}" if self.sums else ""
        return (
            f"SELECT {columns} FROM {self.at(one)}{saying} EXCEPT "  # noqa: S608 -- names of ours
            f"SELECT {columns} FROM {self.at(other)}{saying}"
        )
