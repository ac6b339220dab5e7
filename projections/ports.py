"""What a read model needs from a database, and what a projection is.

SQL is written once, with ``?`` for parameters. A read model can be rebuilt from the log, so that a
commit is atomic but need not wait for the disk: after a crash a projection goes on a bit earlier.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self

from projections.table import Table
from tts.ports.log import Recorded

Row = tuple[Any, ...]
State = Mapping[str, Any]
"""An event's JSON, decoded."""


class Transaction(Protocol):
    """Statements that take effect together or not at all."""

    async def fetch(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        ...

    async def execute(self, sql: str, params: Sequence[object] = ()) -> None:
        """Run one statement that has no rows."""
        ...

    async def write(self, table: Table, place: int, rows: Collection[Mapping[str, Any]]) -> None:
        """Write rows, each with every column, over those of the same key (see :class:`Table`).

        No two of them have the same key.
        """
        ...

    async def remove(
        self, table: Table, place: int, column: str, values: Collection[object]
    ) -> None:
        """Delete the rows that have one of the values in the column."""
        ...

    async def clear(self, table: Table, place: int) -> None:
        """Remove all rows, and what makes it slow to write many."""
        ...

    async def complete(self, table: Table, place: int) -> None:
        """Put up again what :meth:`clear` has removed besides."""
        ...


class Database(Protocol):
    """The read models' tables, open while the context is.

    Everything raises :class:`tts.ports.errors.Unavailable` when the database cannot be reached.
    """

    async def open(self) -> None:
        """Make what is not there yet, and connect."""
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

    def snapshot(self) -> AbstractAsyncContextManager[Transaction]:
        """All that is read in the context is of one moment; it may last, and holds up nobody."""
        ...


class Batch(Protocol):
    """What some events add up to, until it is written."""

    def add(self, story: Any, event: Recorded, state: State) -> None:
        """Take the next event; ``story`` is that of its task, which goes on with it."""
        ...

    async def write(self, transaction: Transaction, place: int) -> None:
        """Bring the rows of that place up to date."""
        ...


class Projection(Protocol):
    """Folds events into the rows of one read model; a failure it raises stops it.

    A ``version`` that counts or keeps something else is a higher one: the rows are made anew.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def version(self) -> int:
        """Which rows it makes."""
        ...

    @property
    def topics(self) -> Collection[str]:
        """Those of the events that it looks at; no batch gets others."""
        ...

    @property
    def tables(self) -> Sequence[Table]:
        """Where its rows are, and no other's."""
        ...

    def story(self, requested: Recorded, state: State) -> Any:
        """What this read model has to remember of a task while events of it may come."""
        ...

    def batch(self) -> Batch:
        """An empty one."""
        ...
