"""The read model "usage": what each owner took on each day, and how many of its tasks go on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from projections.ports import Transaction
from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.wire import UPDATES

# One that counts something more gets another name, and tables of another name, so that it is made
# anew from the first event on.
NAME = "usage-1"
TABLES = ("rm_usage", "rm_usage_owners", "rm_usage_tasks")
SUMS = ("tasks", "characters", "predictions", "predict_ms", "audio_ms")
COUNTED = frozenset(
    {
        Task.Requested.TOPIC,
        Task.PredictionCreated.TOPIC,
        Task.DownloadStarted.TOPIC,
        Task.Succeeded.TOPIC,
        Task.Failed.TOPIC,
        Task.RetryRequested.TOPIC,
        Task.Canceled.TOPIC,
    }
)
_ENDS = frozenset({Task.Succeeded.TOPIC, Task.Canceled.TOPIC, Task.Erased.TOPIC})  # for good
_ADD = (
    f"INSERT INTO rm_usage (owner, day, {', '.join(SUMS)}) "  # noqa: S608 -- made of names above
    f"VALUES (?, ?, {', '.join('?' * len(SUMS))}) "
    f"ON CONFLICT (owner, day) DO UPDATE SET "
    f"{', '.join(f'{name} = rm_usage.{name} + excluded.{name}' for name in SUMS)}"
)
_CHANGE = (
    "INSERT INTO rm_usage_owners (owner, unfinished) VALUES (?, ?) ON CONFLICT (owner) "
    "DO UPDATE SET unfinished = rm_usage_owners.unfinished + excluded.unfinished"
)
_KEEP = (
    "INSERT INTO rm_usage_tasks (task_id, owner, billed) VALUES (?, ?, ?) "
    "ON CONFLICT (task_id) DO UPDATE SET billed = excluded.billed"
)
_FORGET = "DELETE FROM rm_usage_tasks WHERE task_id = ?"


@dataclass
class OpenTask:
    """Whose task it is, and the segments whose prediction has been counted with its seconds."""

    owner: str
    billed: set[int] = field(default_factory=set)


class Sums:
    """What a batch of events adds up to; ``tasks`` are those that its events go on with."""

    def __init__(self, tasks: dict[str, OpenTask]) -> None:
        self.tasks = tasks
        self.by_day: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.unfinished: Counter[str] = Counter()

    def add(self, event: Recorded) -> None:
        """Count one event; a KeyError for a topic that nobody knows."""
        UPDATES[event.topic]
        if event.topic not in COUNTED:
            return
        state, task_id = orjson.loads(event.state), str(event.task_id)
        if event.topic == Task.Requested.TOPIC:
            self.tasks[task_id] = OpenTask(state["owner"])
        task = self.tasks.get(task_id)
        if task is None:  # the log has lost its request
            return
        day = self.by_day[task.owner, state["timestamp"][:10]]
        match event.topic:
            case Task.Requested.TOPIC:
                day.update(tasks=1, characters=state["text_length"])
                self.unfinished[task.owner] += 1
            case Task.RetryRequested.TOPIC:
                self.unfinished[task.owner] += 1
            case Task.PredictionCreated.TOPIC:
                day["predictions"] += 1
                task.billed.discard(state["segment"])
            case Task.DownloadStarted.TOPIC:
                # It comes again when an output has moved; the prediction is paid for once.
                if state["segment"] not in task.billed:
                    task.billed.add(state["segment"])
                    day["predict_ms"] += _milliseconds(state["predict_time"])
            case _:
                self.unfinished[task.owner] -= 1
                if event.topic == Task.Succeeded.TOPIC:
                    day["audio_ms"] += _milliseconds(state["duration"])


def _milliseconds(seconds: float | None) -> int:
    return round(1000 * (seconds or 0))


class UsageProjection:
    """Adds events up by owner and day. A sum stays when its task is erased: it says no word."""

    name = NAME
    tables: Sequence[str] = TABLES

    async def clear(self, transaction: Transaction) -> None:
        """Remove every row: sums cannot be overwritten."""
        for table in TABLES:
            await transaction.execute(f"DELETE FROM {table}")  # noqa: S608 -- a name from above

    async def apply(self, transaction: Transaction, events: Sequence[Recorded]) -> None:
        """Bring the rows up to date with events that were not applied before."""
        sums = Sums(await _open_tasks(transaction, events))
        for event in events:
            sums.add(event)
        over = {str(event.task_id) for event in events if event.topic in _ENDS}
        days = [
            [owner, day, *(added[name] for name in SUMS)]
            for (owner, day), added in sums.by_day.items()
            if added
        ]
        open_tasks = [
            (task_id, task.owner, orjson.dumps(sorted(task.billed)).decode())
            for task_id, task in sums.tasks.items()
            if task_id not in over
        ]
        for sql, rows in (
            (_ADD, days),
            (_CHANGE, list(sums.unfinished.items())),
            (_KEEP, open_tasks),
            (_FORGET, [(task_id,) for task_id in over]),
        ):
            if rows:
                await transaction.execute_many(sql, rows)


async def _open_tasks(transaction: Transaction, events: Sequence[Recorded]) -> dict[str, OpenTask]:
    """The tasks that the events go on with, as the batch before left them."""
    new = {event.task_id for event in events if event.topic == Task.Requested.TOPIC}
    task_ids = {str(e.task_id) for e in events if e.topic in COUNTED and e.task_id not in new}
    if not task_ids:
        return {}
    marks = ", ".join("?" * len(task_ids))
    sql = (
        "SELECT task_id, owner, billed FROM rm_usage_tasks "  # noqa: S608 -- made of marks
        f"WHERE task_id IN ({marks})"
    )
    rows = await transaction.fetch(sql, list(task_ids))
    return {task_id: OpenTask(owner, set(orjson.loads(billed))) for task_id, owner, billed in rows}
