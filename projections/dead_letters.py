"""The read model "dead_letters": tasks that failed, until they are retried, dismissed or erased."""

from __future__ import annotations

from collections import Counter
from typing import Any

from projections.ports import State, Transaction
from projections.table import Table
from tts.domain.task import Task
from tts.ports.log import Recorded

NAME = "dead_letters"
GONE = frozenset({Task.RetryRequested.TOPIC, Task.Dismissed.TOPIC, Task.Erased.TOPIC})

LETTERS = Table(
    "dead_letters",
    {
        "task_id": 'text COLLATE "C"',
        "owner": "text NOT NULL",
        "template_id": "text NOT NULL",
        "failed_at": 'text COLLATE "C" NOT NULL',
        "code": "text NOT NULL",
        "step": "text NOT NULL",
        "permanent": "boolean NOT NULL",
        "version": "integer NOT NULL",  # of the task when it failed
    },
    key=("task_id",),
    indexes={
        "newest": "(failed_at, task_id)",
        "owner": "(owner, failed_at, task_id)",
        "code": "(code, failed_at, task_id)",
        "template": "(template_id, failed_at, task_id)",
    },
)
COUNTS = Table(
    "dead_letter_counts",
    {"owner": "text NOT NULL", "code": "text NOT NULL", "letters": "bigint NOT NULL"},
    key=("owner", "code"),
    sums=frozenset({"letters"}),
)

Letter = dict[str, Any]


class DeadLettersProjection:
    """Sets aside what failed; it remembers a task's letter, which has a code if it is one."""

    name = NAME
    version = 1
    topics = GONE | {Task.Failed.TOPIC}
    tables = (LETTERS, COUNTS)

    def story(self, requested: Recorded, state: State) -> Letter:
        """See :class:`projections.ports.Projection`."""
        return {
            "task_id": str(requested.task_id),
            "owner": state["owner"],
            "template_id": state["template_id"],
            "code": None,
        }

    def batch(self) -> DeadLettersBatch:
        """See :class:`projections.ports.Projection`."""
        return DeadLettersBatch()


class DeadLettersBatch:
    """The letters that come and go."""

    def __init__(self) -> None:
        self._letters: dict[str, Letter | None] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, story: Letter, event: Recorded, state: State) -> None:
        """See :class:`projections.ports.Batch`."""
        if event.topic == Task.Failed.TOPIC:
            story |= {
                "failed_at": state["timestamp"],
                "code": state["code"],
                "step": state["step"],
                "permanent": state["permanent"],
                "version": event.version,
            }
            self._letters[story["task_id"]] = story
            self._counts[story["owner"], story["code"]] += 1
        elif story["code"] is not None:
            self._counts[story["owner"], story["code"]] -= 1
            self._letters[story["task_id"]] = None
            story["code"] = None

    async def write(self, transaction: Transaction, place: int) -> None:
        """See :class:`projections.ports.Batch`."""
        if gone := [task_id for task_id, letter in self._letters.items() if letter is None]:
            await transaction.remove(LETTERS, place, "task_id", gone)
        if there := [letter for letter in self._letters.values() if letter is not None]:
            await transaction.write(LETTERS, place, there)
        counts = [
            {"owner": owner, "code": code, "letters": letters}
            for (owner, code), letters in self._counts.items()
            if letters
        ]
        if counts:
            await transaction.write(COUNTS, place, counts)
