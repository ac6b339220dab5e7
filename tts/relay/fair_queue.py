"""Whose turn it is: a queue that is fair to priorities and, within one, to owners."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from tts.application.turns import Line, Rest
from tts.domain.values import WEIGHTS

LINES_MAX = 200  # told of in each priority: those whose turns come first
MARKS_MAX = 400  # told of in all lines of a priority together, or two for each


@dataclass(frozen=True, slots=True)
class Round:
    """A round of work that was asked for: the event that did it."""

    task_id: UUID
    position: int
    version: int


# By the position of the round: numbers are gone through ten times as fast as ids.
_Line = OrderedDict[int, Round]
_Owners = OrderedDict[str, _Line]


class FairQueue:
    """Smooth weighted round robin over priorities, round robin over owners, then first come.

    While all priorities wait, seven turns are four of ``high``, two of ``normal`` and one of
    ``low``, interleaved; a turn that nobody of a priority waits for goes to the others.
    """

    def __init__(self) -> None:
        self._owners: dict[str, _Owners] = {priority: OrderedDict() for priority in WEIGHTS}
        self._credit = dict.fromkeys(WEIGHTS, 0)
        self._places: dict[UUID, tuple[str, str, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._places

    def sizes(self) -> dict[str, int]:
        """How many wait in each priority."""
        return {
            priority: sum(map(len, owners.values())) for priority, owners in self._owners.items()
        }

    def lines(self) -> tuple[dict[str, list[Line]], dict[str, Rest]]:
        """Who stands where, by priority: the first lines as they are, and how many follow."""
        lines, rest = {}, {}
        for priority, owners in self._owners.items():
            lines[str(priority)] = list(_lines(owners))
            further = [len(line) for line in islice(owners.values(), LINES_MAX, None)]
            rest[str(priority)] = Rest(len(further), sum(further))
        return lines, rest

    def add(self, item: Round, *, owner: str, priority: str) -> None:
        """Put a round at the end of its owner's line; a task has one place at a time."""
        self.discard(item.task_id)
        self._places[item.task_id] = priority, owner, item.position
        self._owners[priority].setdefault(owner, OrderedDict())[item.position] = item

    def discard(self, task_id: UUID) -> None:
        """Take a task out, if it is in."""
        place = self._places.pop(task_id, None)
        if place is not None:
            priority, owner, position = place
            line = self._owners[priority][owner]
            del line[position]
            if not line:
                del self._owners[priority][owner]

    def pop(self) -> Round:
        """Take out the one whose turn it is.

        Raises:
            IndexError: nobody waits.
        """
        waiting = [priority for priority, owners in self._owners.items() if owners]
        if not waiting:
            raise IndexError("nobody waits")
        for priority in waiting:
            self._credit[priority] += WEIGHTS[priority]
        chosen = max(waiting, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(WEIGHTS[priority] for priority in waiting)
        owners = self._owners[chosen]
        owner, line = next(iter(owners.items()))
        _, item = line.popitem(last=False)
        del self._places[item.task_id]
        if line:
            owners.move_to_end(owner)
        else:
            del owners[owner]
        return item


def _lines(owners: _Owners) -> Iterator[Line]:
    marks = max(MARKS_MAX // min(max(len(owners), 1), LINES_MAX), 2)
    for owner, line in islice(owners.items(), LINES_MAX):
        stride = -(-len(line) // marks)
        every = islice(line, 0, None, stride)
        yield Line(owner, len(line), stride, list(every), last=next(reversed(line)))
