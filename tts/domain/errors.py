"""What a task refuses."""

from __future__ import annotations

from uuid import UUID

from tts.domain.values import Status


class DomainError(Exception):
    """A command that the task's present state refuses."""


class TransitionRefused(DomainError):
    """The command does not fit the task's status; the message names both."""

    def __init__(self, command: str, task_id: UUID, status: Status, why: str) -> None:
        super().__init__(f"{command} refused for task {task_id} in status {status}: {why}")
        self.command = command
        self.status = status


class TaskErased(DomainError):
    """What was said and spoken is gone for good, so nothing can be done for the task again."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__(f"task {task_id} is erased")


class NewerEvent(KeyError):
    """The log has an event that only a newer version can read."""

    def __init__(self, topic: str) -> None:
        super().__init__(topic)
        self.topic = topic

    def __str__(self) -> str:
        return f"{self.topic} is an event of a newer version than this process is of"


class LeaseLost(DomainError):
    """Another worker has claimed the task since; the one that asks must stop."""

    def __init__(self, task_id: UUID, *, held: int, shown: int) -> None:
        super().__init__(f"task {task_id} is held under lease {held}, not {shown}")


class HistoryLost(LeaseLost):
    """The log went back, and has another history of the task than the one that asks."""

    def __init__(self, task_id: UUID) -> None:
        DomainError.__init__(self, f"the log has lost what this worker did for task {task_id}")
