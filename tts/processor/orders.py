"""What a message still orders, judged from the log: a redelivered or late one may be worked off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.ports.queue import Destination, Message

CLAIMS = frozenset({Task.Dequeued.TOPIC, Task.RetryStarted.TOPIC})
EARLY_SECONDS = 1.0  # more than that a message is not early: it is a clock that is wrong


def is_duplicate(message: Message, task: Task, events: Sequence[Recorded], *, again: bool) -> bool:
    """Whether another message brings the task forward, or this one has done so.

    A message is followed by the claim that it led to. One that comes ``again`` after its consumer
    died may go on with that, and one that rescues a task is younger than the claim. A retry waits
    with the broker: while it does, only the message that waits, or a younger one, may start it.
    """
    if task.cancel_requested or task.final:
        return False
    if task.due_at is not None:
        scheduled_at = _newest(events, frozenset({Task.RetryScheduled.TOPIC}))
        return message.destination is not Destination.RETRY or message.position < scheduled_at
    return task.claimed and not again and message.position < _newest(events, CLAIMS)


def early(task: Task, now: datetime) -> float:
    """By how many seconds the message of a retry came early.

    The relay sends it a little too early on purpose. What lies further ahead was written by a clock
    that differs from ours: the broker has measured the time, so the retry is due.
    """
    if task.due_at is None or task.cancel_requested:
        return 0.0
    seconds = (task.due_at - now).total_seconds()
    return seconds if 0 < seconds <= EARLY_SECONDS else 0.0


def _newest(events: Sequence[Recorded], topics: frozenset[str]) -> int:
    return max((event.position for event in events if event.topic in topics), default=0)
