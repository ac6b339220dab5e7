"""The tasks that are not over, folded from the log: what the relay schedules and rescues by.

Memory goes with their number alone, some hundred bytes each. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from sys import intern
from uuid import UUID

import orjson

from tts.domain.task import Task
from tts.domain.values import Priority
from tts.ports.log import Recorded
from tts.relay.pace import Pace

ROUNDS = frozenset({Task.Requested.TOPIC, Task.RetryRequested.TOPIC})
OVER = frozenset(
    {
        Task.Succeeded.TOPIC,
        Task.Failed.TOPIC,
        Task.Dismissed.TOPIC,
        Task.Canceled.TOPIC,
        Task.Erased.TOPIC,
    }
)
WAITING = ROUNDS | {Task.Queued.TOPIC}
RELEASES = OVER | {Task.RetryScheduled.TOPIC}
CLAIMS = frozenset({Task.Dequeued.TOPIC, Task.RetryStarted.TOPIC})


@dataclass(slots=True)
class Unfinished:
    """What the log says of a task that is not over; times in seconds of the epoch.

    ``before`` is the position of the event in front of the one that asked for the present round,
    which ``began`` is the time of; ``topic``, ``position``, ``version`` and ``at`` tell of the
    newest event. ``due`` is when a retry may start.
    ``owner`` is None for a task that was asked for again: its first event knows.
    """

    before: int
    began: float
    deadline: float
    topic: str
    position: int
    version: int
    at: float
    due: float = 0.0
    attempt: int = 1
    worker: str = ""
    owner: str | None = None
    priority: str = Priority.NORMAL

    @property
    def since(self) -> float:
        """From when on something should have happened."""
        return max(self.at, self.due)


class UnfinishedTasks:
    """All of them, as of ``position``; it starts where every earlier task was over.

    ``pace`` is told who has a place of a processor.
    """

    def __init__(self, position: int, pace: Pace | None = None) -> None:
        self.position = position
        self._pace = pace or Pace()
        self.tasks: dict[UUID, Unfinished] = {}
        self._signs: dict[str, float] = {}

    @property
    def floor(self) -> int:
        """The position up to which every task that was asked for is over: where to start anew.

        It is an event's. A position that none has may lie among those that the log has lost.
        """
        # Rounds are added in the order of the log, so the first one is the oldest.
        first = next(iter(self.tasks.values()), None)
        return self.position if first is None else first.before

    @property
    def oldest(self) -> float | None:
        """When the oldest round began."""
        first = next(iter(self.tasks.values()), None)
        return None if first is None else first.began

    @property
    def oldest_waiting(self) -> float | None:
        """When the round began that has waited longest for its turn."""
        return next((task.began for task in self.tasks.values() if task.topic in WAITING), None)

    def last_sign(self, worker: str) -> float:
        """When the worker last brought one of its tasks forward, as far as it is known."""
        return self._signs.get(worker, 0.0)

    def forget_workers(self, before: float) -> None:
        """Drop the workers that gave no sign since."""
        self._signs = {worker: at for worker, at in self._signs.items() if at >= before}

    def apply(self, event: Recorded) -> None:
        """Take the next event into account; its position is greater than all before."""
        before, self.position = self.position, event.position
        if event.topic in ROUNDS:
            state = orjson.loads(event.state)
            at = _seconds(state["timestamp"])
            # Removed first, so that a task that is asked for again stands behind those before it.
            self.tasks.pop(event.task_id, None)
            self._pace.forget(event.task_id)
            self.tasks[event.task_id] = Unfinished(
                before=before,
                began=at,
                deadline=_seconds(state["deadline_at"]),
                topic=event.topic,
                position=event.position,
                version=event.version,
                at=at,
                owner=intern(state["owner"]) if "owner" in state else None,
                priority=intern(state.get("priority", Priority.NORMAL.value)),
            )
            return
        task = self.tasks.get(event.task_id)
        if task is None:
            return
        state = orjson.loads(event.state)
        # One of a newer version may have none; that something happened is all that counts.
        at = _seconds(state["timestamp"]) if "timestamp" in state else task.at
        if event.topic in CLAIMS:
            task.worker = state["worker"]
            self._pace.claimed(event.task_id, at)
        elif event.topic in RELEASES:
            self._pace.released(event.task_id, at)
        if task.worker and event.topic != Task.CancelRequested.TOPIC:
            self._signs[task.worker] = at
        if event.topic in OVER:
            del self.tasks[event.task_id]
            return
        task.topic, task.position, task.version, task.at = (
            event.topic,
            event.position,
            event.version,
            at,
        )
        task.attempt = state.get("attempt", task.attempt)
        task.due = _seconds(state["due_at"]) if event.topic == Task.RetryScheduled.TOPIC else 0.0


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
