"""Whose task it is, for streams that show one owner's tasks: only its first event says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from tts.application.tasks import NOBODY, owner_of
from tts.domain.task import Task
from tts.ports.log import Recorded

TASKS_MAX = 50_000  # remembered: some 10 MB


class Owners:
    """Remembers the owners of the tasks that it was asked about; ``events`` reads one task's."""

    def __init__(self, events: Callable[[UUID], Awaitable[list[Recorded]]]) -> None:
        self._events = events
        self._owners: dict[UUID, str] = {}

    async def of(self, events: Iterable[Recorded]) -> dict[UUID, str]:
        """The owner of each task that the events are about."""
        owners: dict[UUID, str] = {}
        for event in events:
            if event.task_id not in owners:
                owners[event.task_id] = await self._owner(event)
        return owners

    async def _owner(self, event: Recorded) -> str:
        owner = self._owners.get(event.task_id)
        if owner is None:
            first = event
            if event.topic != Task.Requested.TOPIC:
                first = next(iter(await self._events(event.task_id)), event)
            owner = owner_of(first)
            if owner == NOBODY:  # until somebody appends again what the log has lost
                return owner
            if len(self._owners) >= TASKS_MAX:
                del self._owners[next(iter(self._owners))]  # the one that has been there longest
            self._owners[event.task_id] = owner
        return owner
