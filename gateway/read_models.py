"""The read models, as the gateway asks them; the projections answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from gateway.freshness import ReadModel
from gateway.quotas import Standing
from tts.application import dead_letters
from tts.application.task_list import TaskSelection


class TaskPage(Protocol):
    """One page of a list of tasks: wire names, save for the audio's ``objectKey``."""

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks, newest first."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next page starts; None on the last one."""
        ...

    @property
    def position(self) -> int:
        """The position in the log that the page shows."""
        ...

    def behind(self, number: int) -> str | None:
        """The cursor behind that task of the page; None if there is nothing."""
        ...

    def choice(self, tasks: list[dict[str, Any]], cursor: str | None, position: int) -> TaskPage:
        """Another page, of tasks that were chosen from this one and from pages before."""
        ...


class ChangedTasks(Protocol):
    """Tasks that something has happened to, as of a ``position`` in the log or later."""

    @property
    def task_ids(self) -> Sequence[UUID]:
        """The tasks, in no order."""
        ...

    @property
    def position(self) -> int:
        """All that happened up to there is in."""
        ...


class TaskQueries(ReadModel, Protocol):
    """The read model of tasks."""

    async def position(self) -> int:
        """The position in the log that it has come to."""
        ...

    async def counts(self) -> dict[str, int]:
        """How many tasks there are in each status that has any.

        Raises:
            Unavailable: the read model cannot be read.
        """
        ...

    async def page(self, selection: TaskSelection, *, cursor: str | None, limit: int) -> TaskPage:
        """The tasks that match, behind the cursor.

        Raises:
            BadCursor: the cursor is none of ours.
        """
        ...

    async def changed(self, owner: str, after: int, limit: int) -> ChangedTasks:
        """The owner's tasks that something has happened to since a position, at most ``limit``.

        Raises:
            Unavailable: the read model cannot be read.
        """
        ...


class UsagePage(Protocol):
    """One page of owners: wire names, save for what the gateway adds."""

    @property
    def owners(self) -> list[dict[str, Any]]:
        """The owners by name, each with its days, newest first."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next page starts; None on the last one."""
        ...

    @property
    def position(self) -> int:
        """The position in the log that the page shows."""
        ...


class UsageQueries(ReadModel, Protocol):
    """The read model of what owners take; days are written as 2025-01-31."""

    async def standing(self, since: str) -> Standing:
        """What everybody has taken, on the days from ``since`` on.

        Raises:
            Unavailable: the read model cannot be read.
        """
        ...

    async def page(
        self, *, owner: str | None, since: str, cursor: str | None, limit: int
    ) -> UsagePage:
        """The owner, or everybody for None, with the days from ``since`` on."""
        ...


class DeadLetterQueries(dead_letters.DeadLetterQueries, ReadModel, Protocol):
    """The read model of dead letters."""

    async def position(self) -> int:
        """The position in the log that it has come to."""
        ...


class Series(Protocol):
    """Spans of time in order, under wire names."""

    @property
    def points(self) -> list[dict[str, Any]]:
        """Those in which something happened."""
        ...

    @property
    def position(self) -> int:
        """The position in the log that they show."""
        ...


class StatsQueries(ReadModel, Protocol):
    """The read model of what happens and how long it takes."""

    async def series(
        self, *, span: str, since: str, until: str, owner: str | None, template_id: str | None
    ) -> Series:
        """Minutes, hours or days between two times in ISO 8601 and UTC."""
        ...


class TemplatePage(Protocol):
    """One page of templates by name, under wire names."""

    @property
    def templates(self) -> list[dict[str, Any]]:
        """The templates."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next page starts; None on the last one."""
        ...

    @property
    def position(self) -> int:
        """The position in the log that the page shows."""
        ...


class TemplateQueries(ReadModel, Protocol):
    """The read model of which templates are used."""

    async def page(self, *, owner: str | None, cursor: str | None, limit: int) -> TemplatePage:
        """The owner's, or everybody's together for None."""
        ...
