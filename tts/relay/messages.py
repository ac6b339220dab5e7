"""Which message an event of the log orders, and which one brings an unfinished task forward."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import orjson

from tts.domain.retry import on_grid
from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.ports.queue import Destination, Message
from tts.relay.unfinished import Unfinished

Publish = Callable[[Message], Awaitable[None]]
"""Hands a message to the broker, however long that is away."""

LEAD_SECONDS = 0.25  # so much before its time a processor has the message of a retry
AT_ONCE = frozenset({Task.CancelRequested.TOPIC, Task.RetryScheduled.TOPIC, Task.Failed.TOPIC})
"""Orders that wait for no turn: rounds of work (:data:`tts.relay.unfinished.ROUNDS`) do."""


def work(task_id: UUID, position: int) -> Message:
    """A processor is to look at the task; ``position`` is that of the event that says why."""
    return Message(Destination.WORK, task_id, attempt=1, position=position)


def order(event: Recorded, *, now: datetime | None) -> Message | None:
    """The message that an event asks for, if it asks for one.

    Without ``now`` the event has just been appended: a retry then waits as long as was decided,
    whatever the clocks of its processor and of the relay say.
    """
    match event.topic:
        case Task.Requested.TOPIC | Task.RetryRequested.TOPIC | Task.CancelRequested.TOPIC:
            return work(event.task_id, event.position)
        case Task.RetryScheduled.TOPIC:
            state = orjson.loads(event.state)
            wait = state["delay"]
            if now is not None:
                wait = (datetime.fromisoformat(state["due_at"]) - now).total_seconds()
            return Message(
                Destination.RETRY,
                event.task_id,
                attempt=state["attempt"],
                position=event.position,
                delay=_room(wait, state["delay"]),
            )
        case Task.Failed.TOPIC:
            state = orjson.loads(event.state)
            return Message(
                Destination.DEAD_LETTER,
                event.task_id,
                attempt=state["attempt"],
                position=event.position,
                headers={
                    "code": state["code"],
                    "step": state["step"],
                    "reason": state["message"],
                    "permanent": str(state["permanent"]).lower(),
                    "failed-at": state["timestamp"],
                },
            )
    return None


def rescue(task_id: UUID, task: Unfinished, *, now: float) -> Message:
    """A message for the task, whatever became of earlier ones; ``now`` in seconds of the epoch.

    It has the position of the newest event, so that no processor takes it for a duplicate.
    """
    if task.topic != Task.RetryScheduled.TOPIC:
        return work(task_id, task.position)
    # No longer than was decided on, even if the clock was set back since.
    wait = min(task.due - now, task.due - task.at)
    return Message(
        Destination.RETRY,
        task_id,
        attempt=task.attempt,
        position=task.position,
        delay=on_grid(wait) if wait > 0 else 0.0,
    )


def _room(wait: float, delay: float) -> float:
    """How long the message waits with the broker; nothing at all when it is due.

    A little less than was decided on: what the message needs to get there and back must not make
    the retry late, and a processor that has it early waits for the rest.
    """
    if wait <= 0:
        return 0.0
    # The milliseconds that the event took to get here must not make another waiting room.
    if wait > delay - LEAD_SECONDS:
        return round(max(delay - LEAD_SECONDS, 0.0), 3)
    return on_grid(wait)
