"""The read model "tasks": one row for each task, for lists, and how many are in each status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from projections.ports import State, Transaction
from projections.table import Table
from tts.domain.task import Task
from tts.domain.values import FINAL, Status
from tts.ports.log import Recorded
from tts.wire import UPDATES

NAME = "tasks"

# Of which the indexes are made: with each status, PostgreSQL would write every index anew.
PHASES = {
    Status.STARTING.value: "starting",
    Status.QUEUED.value: "queued",
    Status.DEQUEUED.value: "active",
    Status.PROCESSING.value: "active",
    Status.PREDICTION_CREATED.value: "active",
    Status.DOWNLOADING.value: "active",
    Status.DOWNLOAD_COMPLETE.value: "active",
    Status.WAITING_RETRY.value: "retry",
    Status.RETRYING.value: "retry",
    Status.CANCELING.value: "canceling",
    Status.SUCCEEDED.value: "succeeded",
    Status.FAILED.value: "failed",
    Status.CANCELED.value: "canceled",
}

TASKS = Table(
    "tasks",
    # Times are ISO 8601 in UTC: their order as bytes is their order in time.
    {
        "task_id": 'text COLLATE "C"',
        "owner": "text NOT NULL",
        "template_id": "text NOT NULL",
        "created_at": 'text COLLATE "C" NOT NULL',
        "status": "text NOT NULL",
        "phase": "text NOT NULL",
        "attempt": "integer NOT NULL",
        "code": "text",
        "step": "text",
        "message": "text",
        "object_key": "text",
        "size": "bigint",
        "duration": "double precision",
        "updated_at": "text NOT NULL",
        "completed_at": "text",
        "retry_at": "text",
        "position": "bigint NOT NULL",
        # The same once the task is over, NULL before: an index over what changes with each status
        # would have PostgreSQL write every other index anew, too.
        "final_position": "bigint",
    },
    key=("task_id",),
    fixed=frozenset({"owner", "template_id", "created_at"}),
    indexes={
        "newest": "(created_at, task_id)",
        "phase": "(phase, created_at, task_id)",
        "template": "(template_id, created_at, task_id)",
        "code": "(code, created_at, task_id) WHERE code IS NOT NULL",
        "owner": "(owner, created_at, task_id)",
        "owner_phase": "(owner, phase, created_at, task_id)",
        "owner_template": "(owner, template_id, created_at, task_id)",
        "owner_final": "(owner, final_position) WHERE final_position IS NOT NULL",
    },
)
# Counting a million rows takes too long for a metric.
COUNTS = Table(
    "task_counts",
    {"status": "text", "tasks": "bigint NOT NULL"},
    key=("status",),
    sums=frozenset({"tasks"}),
)

UNFINISHED = frozenset(PHASES.values()) - {status.value for status in FINAL}

_STATUSES = {topic: status.value for topic, (status, _) in UPDATES.items() if status is not None}

Values = dict[str, Any]


def change(event: Recorded, state: State) -> Values:
    """The columns that an event sets."""
    status = _STATUSES.get(event.topic) or state["status"]
    values: Values = {
        "status": status,
        "updated_at": state["timestamp"],
        "position": event.position,
    }
    if (more := _MORE.get(event.topic)) is not None:
        values |= more(event, state)
    if status in FINAL:
        values["final_position"] = event.position
    return values


def _error(state: State) -> Values:
    # PostgreSQL stores no NUL, and a message from elsewhere must not stop the read model.
    message = state["message"].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return {"code": state["code"], "step": state["step"], "message": message}


def _requested(event: Recorded, state: State) -> Values:
    return {
        "task_id": str(event.task_id),
        "owner": state["owner"],
        "template_id": state["template_id"],
        "created_at": state["timestamp"],
        "attempt": 1,
    }


def _succeeded(_: Recorded, state: State) -> Values:
    values = {name: state[name] for name in ("object_key", "size", "duration")}
    nothing = dict.fromkeys(("code", "step", "message"))
    return {**values, **nothing, "completed_at": state["timestamp"]}


def _no_retry(_: Recorded, __: State) -> Values:
    return {"retry_at": None}


# What an event sets besides the columns that each one does.
_MORE: Mapping[str, Callable[[Recorded, State], Values]] = {
    Task.Requested.TOPIC: _requested,
    Task.RetryScheduled.TOPIC: lambda _, state: {
        **_error(state),
        "attempt": state["attempt"],
        "retry_at": state["due_at"],
    },
    Task.Dequeued.TOPIC: _no_retry,
    Task.RetryStarted.TOPIC: _no_retry,
    Task.CancelRequested.TOPIC: _no_retry,
    Task.RetryRequested.TOPIC: lambda _, __: {
        "attempt": 1,
        "completed_at": None,
        "final_position": None,
    },
    Task.Failed.TOPIC: lambda _, state: {**_error(state), "completed_at": state["timestamp"]},
    Task.Canceled.TOPIC: lambda _, state: {"completed_at": state["timestamp"]},
    Task.Succeeded.TOPIC: _succeeded,
    Task.Erased.TOPIC: lambda _, __: {"object_key": None},
}


class TasksProjection:
    """Folds events into rows; what it remembers of a task is its row."""

    name = NAME
    version = 4
    topics = UPDATES.keys()
    tables = (TASKS, COUNTS)

    def story(self, requested: Recorded, state: State) -> Values:
        """A row in which nothing stands yet."""
        del requested, state
        return dict.fromkeys(TASKS.columns)

    def batch(self) -> TasksBatch:
        """See :class:`projections.ports.Projection`."""
        return TasksBatch()


class TasksBatch:
    """The rows that change, and how many tasks come to and leave each status."""

    def __init__(self) -> None:
        self._rows: dict[str, Values] = {}
        self._counts: Counter[str] = Counter()

    def add(self, story: Values, event: Recorded, state: State) -> None:
        """See :class:`projections.ports.Batch`."""
        before = story["status"]
        story.update(change(event, state))
        status = story["status"]
        if status != before:
            story["phase"] = PHASES[status]
            self._counts[status] += 1
            if before is not None:
                self._counts[before] -= 1
        self._rows[story["task_id"]] = story

    async def write(self, transaction: Transaction, place: int) -> None:
        """See :class:`projections.ports.Batch`."""
        await transaction.write(TASKS, place, self._rows.values())
        counts = [{"status": s, "tasks": n} for s, n in self._counts.items() if n]
        if counts:
            await transaction.write(COUNTS, place, counts)
