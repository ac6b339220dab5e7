"""The read model "templates": which voices are used, when last, and how often they fail."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from projections.ports import State, Transaction
from projections.table import Table
from tts.domain.task import Task
from tts.ports.log import Recorded

NAME = "templates"
SUMS = ("tasks", "succeeded", "failed", "canceled")
# What a task that is asked for again comes to is counted again.
_SUM_OF = {
    Task.Requested.TOPIC: "tasks",
    Task.Succeeded.TOPIC: "succeeded",
    Task.Failed.TOPIC: "failed",
    Task.Canceled.TOPIC: "canceled",
}

TEMPLATES = Table(
    "templates",
    {
        "owner": "text NOT NULL",
        "template_id": 'text COLLATE "C" NOT NULL',
        "last_used_at": 'text COLLATE "C" NOT NULL',  # the newest request
        **dict.fromkeys(SUMS, "bigint NOT NULL"),
    },
    key=("owner", "template_id"),
    sums=frozenset(SUMS),
    latest=frozenset({"last_used_at"}),
)


@dataclass(frozen=True, slots=True)
class Use:
    """One task's."""

    owner: str
    template_id: str
    requested_at: str


@dataclass(slots=True)
class _Uses:
    last_used_at: str = ""
    sums: Counter[str] = field(default_factory=Counter)


class TemplatesProjection:
    """Counts what comes of the tasks of each template and owner."""

    name = NAME
    version = 1
    topics = frozenset(_SUM_OF)
    tables = (TEMPLATES,)

    def story(self, requested: Recorded, state: State) -> Use:
        """See :class:`projections.ports.Projection`."""
        del requested
        return Use(state["owner"], state["template_id"], state["timestamp"])

    def batch(self) -> TemplatesBatch:
        """See :class:`projections.ports.Projection`."""
        return TemplatesBatch()


class TemplatesBatch:
    """What a batch of events adds up to."""

    def __init__(self) -> None:
        self._uses: defaultdict[tuple[str, str], _Uses] = defaultdict(_Uses)

    def add(self, story: Use, event: Recorded, state: State) -> None:
        """See :class:`projections.ports.Batch`."""
        del state
        uses = self._uses[story.owner, story.template_id]
        uses.last_used_at = max(uses.last_used_at, story.requested_at)
        uses.sums[_SUM_OF[event.topic]] += 1

    async def write(self, transaction: Transaction, place: int) -> None:
        """See :class:`projections.ports.Batch`."""
        rows: list[dict[str, Any]] = [
            {
                "owner": owner,
                "template_id": template_id,
                "last_used_at": uses.last_used_at,
                **{name: uses.sums[name] for name in SUMS},
            }
            for (owner, template_id), uses in self._uses.items()
        ]
        if rows:
            await transaction.write(TEMPLATES, place, rows)
