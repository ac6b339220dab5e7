"""The task that a client names: its id, and its events if it is the client's to see."""

from __future__ import annotations

from uuid import UUID

import orjson

from gateway.services import Services
from tts.application.tasks import TaskNotFound
from tts.ports.log import Recorded

UUID_LENGTH = 36


def task_id_of(text: str) -> UUID:
    """The id that a client names, in its one spelling.

    Raises:
        TaskNotFound: no task has such an id.
    """
    try:
        if len(text) == UUID_LENGTH:
            return UUID(text)
    except ValueError:
        pass
    raise TaskNotFound(f"task {text[:UUID_LENGTH]!r} does not exist")


async def events_of(services: Services, task_id: UUID, scope: str | None) -> list[Recorded]:
    """All events of a task that belongs to ``scope``, or to anybody for None.

    Raises:
        TaskNotFound: there is none, or it is somebody else's; nobody can tell which.
    """
    events = await services.application.store.events(task_id)
    if not events or scope not in {None, orjson.loads(events[0].state)["owner"]}:
        raise TaskNotFound(f"task {task_id} does not exist")
    return events
