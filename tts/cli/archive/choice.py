"""Which tasks may leave the log: those that are long over, and that nobody needs any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import orjson

from projections import registry
from projections.ports import Database
from tts.application.tasks import Application
from tts.callbacks import callbacks
from tts.domain.errors import NewerEvent
from tts.domain.task import Task
from tts.domain.values import Status
from tts.parts.event_store import Store
from tts.ports.callbacks import CallbackState, CallbackTable
from tts.ports.log import Recorded
from tts.relay import relay, rescue
from tts.relay.unfinished import OVER

ENDS_AT_ONCE = 500
TASKS_AT_ONCE = 32

History = list[Recorded]


class Stay(StrEnum):
    """Why a task that is over stays in the log."""

    YOUNG = "not over for so long"
    BEHIND = "not yet seen by all who follow the log"
    LETTER = "dead letters that nobody has dismissed"
    CALLBACK = "with a callback that was not delivered"
    NEWER = "with events of a newer version of the service"


class Floor(NamedTuple):
    """The position that all who follow the log have come to, and who has come no further."""

    position: int
    last: str


@dataclass
class Choice:
    """Goes through the log up to ``floor``, unless that is ended, and counts why tasks stay."""

    store: Store
    application: Application
    callbacks: CallbackTable
    before: datetime
    floor: Floor
    is_ended: Callable[[], bool] = lambda: False
    stay: Counter[Stay] = field(default_factory=Counter)
    position: int = 0

    async def histories(self) -> AsyncIterator[History]:
        """All events of each task that may go, the one that ended first being the first."""
        while ends := await self.store.read(self.position, ENDS_AT_ONCE, OVER):
            within = [end for end in ends if end.position <= self.floor.position]
            for n in range(0, len(within), TASKS_AT_ONCE):
                some = within[n : n + TASKS_AT_ONCE]
                found = await asyncio.gather(*(self.store.events(end.task_id) for end in some))
                for end, history in zip(some, found, strict=True):
                    if _is_last_end(history, end) and await self._may_go(history):
                        yield history
            self.position = ends[-1].position
            if self.position > self.floor.position or self.is_ended():
                return

    async def is_held_back(self) -> bool:
        """Whether what stands behind the floor is old enough to go."""
        following = await self.store.read(self.floor.position, 1)
        return bool(following) and _at(following[0]) < self.before

    async def _may_go(self, history: History) -> bool:
        stay = await self._reason(history)
        if stay is not None:
            self.stay[stay] += 1
        return stay is None

    async def _reason(self, history: History) -> Stay | None:
        try:
            task = self.application.replay(history)
        except NewerEvent:
            return Stay.NEWER
        if not task.final or history[-1].position > self.floor.position:
            return Stay.BEHIND
        if _ended_at(history) >= self.before:
            return Stay.YOUNG
        if task.status is Status.FAILED and not (task.dismissed_at or task.erased_at):
            return Stay.LETTER
        if task.callback_url is not None:
            callback = await self.callbacks.newest(task.id)
            if callback is not None and callback.state is not CallbackState.DELIVERED:
                return Stay.CALLBACK
        return None


async def floor_of(store: Store, database: Database) -> Floor:
    """How far those who follow the log have come.

    Who finds a task's first event there and not its last one would take it for unfinished.

    Raises:
        WentBack: somebody has seen what is gone, and does not know it yet.
    """
    end = await store.position()
    places = {"the relay's list of unfinished tasks": await store.checkpoint(rescue.UNFINISHED)}
    followers = (relay.NAME, relay.FOLLOWED), (callbacks.NAME, callbacks.FOLLOWED)
    for name, topics in followers:
        # It has done all that comes before the next event that it has to do something about.
        following = await store.read(await store.checkpoint(name), 1, topics)
        places[f"the {name}"] = following[0].position - 1 if following else end
    for name, standing in (await registry.serving(database)).items():
        places[f"the read model {name}"] = standing.position
    last = min(places, key=places.__getitem__)
    return Floor(min(places[last], end), last)


def _is_last_end(history: Sequence[Recorded], end: Recorded) -> bool:
    """So that each task is looked at once."""
    return end.position == max((e.position for e in history if e.topic in OVER), default=0)


def _ended_at(history: Sequence[Recorded]) -> datetime:
    """When something happened to the task last, besides being dismissed."""
    return _at(next(event for event in reversed(history) if event.topic != Task.Dismissed.TOPIC))


def _at(event: Recorded) -> datetime:
    return datetime.fromisoformat(orjson.loads(event.state)["timestamp"])
