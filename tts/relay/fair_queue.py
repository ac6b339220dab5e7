"""Whose turn it is: a queue that is fair to priorities and, within one, to owners."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from tts.domain.values import Priority

WEIGHTS: Mapping[str, int] = {Priority.HIGH: 4, Priority.NORMAL: 2, Priority.LOW: 1}


@dataclass(frozen=True, slots=True)
class Round:
    """A round of work that was asked for: the event that did it."""

    task_id: UUID
    position: int
    version: int


_Owners = OrderedDict[str, OrderedDict[UUID, Round]]


class FairQueue:
    """Smooth weighted round robin over priorities, round robin over owners, then first come.

    While all priorities wait, seven turns are four of ``high``, two of ``normal`` and one of
    ``low``, interleaved; a turn that nobody of a priority waits for goes to the others.
    """

    def __init__(self) -> None:
        self._owners: dict[str, _Owners] = {priority: OrderedDict() for priority in WEIGHTS}
        self._credit = dict.fromkeys(WEIGHTS, 0)
        self._places: dict[UUID, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._places

    def sizes(self) -> dict[str, int]:
        """How many wait in each priority."""
        return {
            priority: sum(map(len, owners.values())) for priority, owners in self._owners.items()
        }

    def add(self, item: Round, *, owner: str, priority: str) -> None:
        """Put a round at the end of its owner's line; a task has one place at a time."""
        self.discard(item.task_id)
        self._places[item.task_id] = priority, owner
        self._owners[priority].setdefault(owner, OrderedDict())[item.task_id] = item

    def discard(self, task_id: UUID) -> None:
        """Take a task out, if it is in."""
        place = self._places.pop(task_id, None)
        if place is not None:
            priority, owner = place
            line = self._owners[priority][owner]
            del line[task_id]
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
        task_id, item = line.popitem(last=False)
        del self._places[task_id]
        if line:
            owners.move_to_end(owner)
        else:
            del owners[owner]
        return item
