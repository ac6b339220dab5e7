"""The task that a client names."""

from __future__ import annotations

from uuid import UUID

from tts.application.tasks import TaskNotFound

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
