"""Which unfinished tasks have lost their message, judged from the log and the queues' lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from tts.domain.task import Task
from tts.ports.queue import Destination
from tts.relay.unfinished import ROUNDS, Unfinished, UnfinishedTasks

LONGEST_PAUSE = 64  # times the patience, between two rescues of one task

_IN_WORK_QUEUE = frozenset({Task.Queued.TOPIC, Task.CancelRequested.TOPIC})
_Tasks = list[tuple[UUID, Unfinished]]


@dataclass(slots=True)
class _Rescued:
    position: int
    times: int
    again_at: float


class Watchdog:
    """A task is suspicious when nothing has happened for ``patience`` seconds that should have.

    Three ways in which it may be well all the same:

    - Its message waits. No more messages are missing than there are waiting tasks beyond the ready
      messages, and those that have waited longest are the ones.
    - Its worker waits for a long prediction. A worker that brought any of its tasks forward lately
      lives, and then its broker has the message; past the deadline that is no excuse.
    - It was rescued just now. The pause after a rescue doubles until something happens.

    One that is suspected wrongly comes to no harm: its message is a duplicate.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._rescued: dict[UUID, _Rescued] = {}

    def find(
        self, unfinished: UnfinishedTasks, ready: Mapping[Destination, int], now: float
    ) -> _Tasks:
        """The tasks to rescue; each counts as rescued from here on.

        ``ready`` was counted before ``unfinished`` was brought up to date. Rounds of work that
        nobody has queued yet are no business of the watchdog: the relay has them in its backlog.
        """
        in_work: _Tasks = []
        in_retry: _Tasks = []
        held: _Tasks = []
        for task_id, task in unfinished.tasks.items():
            if task.topic in ROUNDS:
                continue
            if task.topic in _IN_WORK_QUEUE:
                in_work.append((task_id, task))
            elif task.topic == Task.RetryScheduled.TOPIC:
                if task.due <= now:
                    in_retry.append((task_id, task))
            elif self._unattended(task, unfinished, now):
                held.append((task_id, task))
        unfinished.forget_workers(now - self._patience)
        self._rescued = {id_: r for id_, r in self._rescued.items() if id_ in unfinished.tasks}
        lost = [
            *self._overdue(in_work, now)[: max(len(in_work) - ready[Destination.WORK], 0)],
            *self._overdue(in_retry, now)[: max(len(in_retry) - ready[Destination.RETRY], 0)],
            *self._overdue(held, now),
        ]
        return [(task_id, task) for task_id, task in lost if self._may_rescue(task_id, task, now)]

    def _overdue(self, tasks: Iterable[tuple[UUID, Unfinished]], now: float) -> _Tasks:
        waited = [entry for entry in tasks if entry[1].since + self._patience <= now]
        return sorted(waited, key=lambda entry: entry[1].since)

    def _unattended(self, task: Unfinished, unfinished: UnfinishedTasks, now: float) -> bool:
        silent = unfinished.last_sign(task.worker) + self._patience <= now
        return silent or task.deadline + self._patience <= now

    def _may_rescue(self, task_id: UUID, task: Unfinished, now: float) -> bool:
        before = self._rescued.get(task_id)
        times = 0
        if before is not None and before.position == task.position:
            if now < before.again_at:
                return False
            times = before.times
        pause = self._patience * min(2**times, LONGEST_PAUSE)
        self._rescued[task_id] = _Rescued(task.position, times + 1, now + pause)
        return True
