"""The list of tasks: by what the read model knows, and by what was said, which the log has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from gateway.read_models import TaskPage
from gateway.services import Services
from tts.application.archives import Facts
from tts.application.task_list import TaskSelection

ID_PREFIX_MIN = len("0198c0de")  # in ids that are made of times, fewer characters are weeks
ID_FORM = "00000000-0000-0000-0000-000000000000"
HEX = frozenset("0123456789abcdef")
LOOKED_AT = 200  # texts at once
LOOKED_AT_MAX = 2_000  # for one page; the next one goes on behind them


class TaskList:
    """Pages of tasks."""

    def __init__(self, services: Services) -> None:
        self._tasks = services.tasks
        self._store = services.application.store
        self._log = services.log

    async def page(
        self, selection: TaskSelection, *, search: str | None, cursor: str | None, limit: int
    ) -> TaskPage:
        """Those that match and are found by the ``search``, behind the cursor.

        Raises:
            BadCursor: the cursor is none of ours.
        """
        page = await self._found(selection, search, cursor, limit)
        await self._hide_erased(page.tasks)
        return page

    async def _found(
        self, selection: TaskSelection, search: str | None, cursor: str | None, limit: int
    ) -> TaskPage:
        if search is None:
            return await self._tasks.page(selection, cursor=cursor, limit=limit)
        if is_id_prefix(search.lower()):
            alike = replace(selection, id_prefix=search.lower())
            page = await self._tasks.page(alike, cursor=cursor, limit=limit)
            if page.tasks or cursor is not None:
                return page
        return await self._said(selection, search, cursor, limit)

    async def _said(
        self, selection: TaskSelection, text: str, cursor: str | None, limit: int
    ) -> TaskPage:
        """Looked for in so many texts, from the newest task on."""
        found: list[dict[str, Any]] = []
        position: int | None = None
        for _ in range(LOOKED_AT_MAX // LOOKED_AT):
            page = await self._tasks.page(selection, cursor=cursor, limit=LOOKED_AT)
            position = page.position if position is None else position
            said = await self._store.containing(text, [UUID(row["taskId"]) for row in page.tasks])
            for number, row in enumerate(page.tasks):
                if UUID(row["taskId"]) in said:
                    found.append(row)
                    if len(found) == limit:
                        return page.choice(found, page.behind(number), position)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert position is not None  # noqa: S101 -- at least one page was looked at
        return page.choice(found, cursor, position)

    async def _hide_erased(self, tasks: Sequence[dict[str, Any]]) -> None:
        """No event tells the read model that an archived task was erased: the log knows it."""
        archived_to = self._log.archived_to
        spoken = {
            UUID(task["taskId"]): task
            for task in tasks
            if task["objectKey"] is not None and task["position"] <= archived_to
        }
        if spoken:
            for kept in await self._store.archived(list(spoken)):
                if Facts.read(kept).is_erased:
                    spoken[kept.task_id]["objectKey"] = None


def is_id_prefix(text: str) -> bool:
    """Whether ids can begin like that, and few do."""
    return ID_PREFIX_MIN <= len(text) <= len(ID_FORM) and all(
        character == form if form == "-" else character in HEX
        for character, form in zip(text, ID_FORM, strict=False)
    )
