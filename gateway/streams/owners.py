"""Whose task it is and in which voice it is spoken: only its first event says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

import orjson

from tts.application.tasks import NOBODY
from tts.domain.task import Task
from tts.ports.log import Recorded

TASKS_MAX = 50_000  # remembered: some 10 MB


class Owners:
    """Remembers the tasks that it was asked about, and their templates.

    ``events`` reads all events of one task.
    """

    def __init__(self, events: Callable[[UUID], Awaitable[list[Recorded]]]) -> None:
        self._events = events
        self._known: dict[UUID, tuple[str, str]] = {}  # owner and template

    async def of(self, events: Iterable[Recorded]) -> dict[UUID, str]:
        """The owner of each task that the events are about."""
        owners: dict[UUID, str] = {}
        for event in events:
            if event.task_id not in owners:
                owners[event.task_id] = await self._owner(event)
        return owners

    def template_of(self, task_id: UUID) -> str | None:
        """The template of a task that was asked about a moment ago, if the log says it."""
        known = self._known.get(task_id)
        return known[1] if known else None

    async def _owner(self, event: Recorded) -> str:
        known = self._known.get(event.task_id)
        if known is None:
            first = event
            if event.topic != Task.Requested.TOPIC:
                first = next(iter(await self._events(event.task_id)), event)
            if first.topic != Task.Requested.TOPIC:
                return NOBODY  # until somebody appends again what the log has lost
            state = orjson.loads(first.state)
            known = (state["owner"], state["template_id"])
            if len(self._known) >= TASKS_MAX:
                del self._known[next(iter(self._known))]  # the one that has been there longest
            self._known[event.task_id] = known
        return known[0]
