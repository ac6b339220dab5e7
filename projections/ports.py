"""What a read model needs from a database; SQLite and PostgreSQL both have it.

SQL is written once, with ``?`` for parameters. A read model can be rebuilt from the log, so that a
commit is atomic but need not wait for the disk: after a crash a projection goes on a bit earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from typing import Any, Protocol, Self

from tts.ports.log import Recorded
from tts.ports.schema import Schema

Row = tuple[Any, ...]


class Transaction(Protocol):
    """Statements that take effect together or not at all."""

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        ...

    async def execute(self, sql: str, params: Sequence[object] = ()) -> None:
        """Run one statement that has no rows."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each row of parameters."""
        ...


class Database(Protocol):
    """The tables of ``schema.sql``, open while the context is.

    Everything raises :class:`tts.ports.errors.Unavailable` when the database cannot be reached.
    """

    async def open(self) -> None:
        """Make the tables if need be, and connect."""
        ...

    async def aclose(self) -> None:
        """Disconnect."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run one reading statement by itself and return its rows."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commit when the context is left, roll back when an error leaves it."""
        ...


SCHEMA = Schema(
    part="read models",
    version=1,
    script=files(__package__).joinpath("schema.sql").read_text(),
    tables=dict.fromkeys(
        [
            "rm_positions",
            "rm_tasks",
            "rm_dead_letters",
            "rm_task_counts",
            "rm_usage",
            "rm_usage_owners",
            "rm_usage_tasks",
        ],
        "SELECT, INSERT, UPDATE, DELETE",
    ),
)


class Projection(Protocol):
    """Folds events into the rows of one read model; a failure it raises stops it for good."""

    name: str
    tables: Sequence[str]
    """Those whose rows are its own alone."""

    async def clear(self, transaction: Transaction) -> None:
        """Make room for the rows of the first events; they are applied in the same transaction.

        What they overwrite may stay.
        """
        ...

    async def apply(self, transaction: Transaction, events: Sequence[Recorded]) -> None:
        """Bring the rows up to date with events that were never applied before, in order."""
        ...
