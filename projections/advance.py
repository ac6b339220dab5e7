"""One step of some read models together: their rows and positions in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from projections import registry
from projections.ports import Database, Projection, State
from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.wire import UPDATES

EVENTS_AT_ONCE = 200  # folded before others have their turn: a few milliseconds
STORIES_MAX = 100_000  # tasks that are remembered while they go on: some 100 MB at most
ENDS = frozenset({Task.Succeeded.TOPIC, Task.Failed.TOPIC, Task.Canceled.TOPIC, Task.Erased.TOPIC})

Events = Callable[[UUID], Awaitable[list[Recorded]]]
"""Reads all events of one task."""


class Moved(Exception):
    """A read model does not stand where it did: somebody else wrote it, or it is another one."""


class Unreadable(Exception):
    """The log has an event that this version does not know; ``index`` is its place among those."""

    def __init__(self, event: Recorded, index: int) -> None:
        super().__init__(
            f"{event.topic} at position {event.position} is of a newer version of the service"
        )
        self.event = event
        self.index = index


class Changes(NamedTuple):
    """What some events change in each read model, up to a position."""

    batches: Sequence[Any]
    position: int


def decoded(events: Sequence[Recorded]) -> list[State]:
    """The events' JSON.

    Raises:
        Unreadable: one of them has a topic or a version that nobody here knows.
    """
    states = []
    for index, event in enumerate(events):
        if event.topic not in UPDATES:
            raise Unreadable(event, index)
        state = orjson.loads(event.state)
        if state.get("class_version", 1) > 1:
            raise Unreadable(event, index)
        states.append(state)
    return states


class Group:
    """Read models that stand at one position; each is named with the place that is written.

    All of the places are ``serving``, or none is.

    What a projection remembers of a task is kept while the task goes on, and is made again from the
    task's events when it is not there.
    """

    def __init__(
        self,
        database: Database,
        events: Events,
        models: Sequence[tuple[Projection, int]],
        position: int,
        *,
        serving: bool = True,
    ) -> None:
        self.position = position
        self._serving = serving
        self.models = models
        self._database = database
        self._events = events
        self._names = {(projection.name, place) for projection, place in models}
        self._stories: dict[int, list[Any]] = {}  # by the task's id as a number: a faster key
        self._readers = {  # of each topic, by their number
            topic: [n for n, (each, _) in enumerate(models) if topic in each.topics]
            for topic in UPDATES
        }

    async def apply(self, events: Sequence[Recorded]) -> None:
        """Bring the read models up to date with the events behind their position.

        Raises:
            Unreadable: nothing was written.
            Moved: nothing was written, and this group is of no use any more.
            Unavailable: it is not known whether anything was.
        """
        try:
            await self.write(await self.fold(events))
        except BaseException:
            self._stories.clear()  # they may be ahead of the rows
            raise

    async def fold(self, events: Sequence[Recorded]) -> Changes:
        """What the events change; those before them are folded, and perhaps not written yet.

        Raises:
            Unreadable, Unavailable: the group cannot go on.
        """
        states = decoded(events)
        await self._recall(events)
        batches = [projection.batch() for projection, _ in self.models]
        await self._fold(batches, events, states)
        self._forget(events)
        return Changes(batches, events[-1].position)

    async def write(self, changes: Changes) -> None:
        """Write what was folded, and stand behind its last event.

        Raises:
            Moved, Unavailable: the group cannot go on.
        """
        async with self._database.transaction() as transaction:
            moved = await registry.move(
                transaction,
                self._names,
                self.position,
                changes.position,
                serving=self._serving,
            )
            if moved != self._names:
                raise Moved
            for batch, (_, place) in zip(changes.batches, self.models, strict=True):
                await batch.write(transaction, place)
        self.position = changes.position

    async def _fold(
        self, batches: Sequence[Any], events: Sequence[Recorded], states: Sequence[State]
    ) -> None:
        stories = self._stories
        for index, (event, state) in enumerate(zip(events, states, strict=True)):
            if index % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1:
                await asyncio.sleep(0)
            told = stories.get(event.task_id.int)
            if told is None:
                if event.version != 1:  # the log has lost its request: it is no task any more
                    continue
                told = [projection.story(event, state) for projection, _ in self.models]
                stories[event.task_id.int] = told
            for n in self._readers[event.topic]:
                batches[n].add(told[n], event, state)

    async def _recall(self, events: Collection[Recorded]) -> None:
        """Read what was before the events, of tasks that are not remembered."""
        met: set[int] = set()
        unknown: list[Recorded] = []
        for event in events:
            task = event.task_id.int
            if task not in self._stories and task not in met:
                met.add(task)
                if event.version > 1:
                    unknown.append(event)
        for first in unknown:
            earlier = [e for e in await self._events(first.task_id) if e.version < first.version]
            discarded = [projection.batch() for projection, _ in self.models]
            await self._fold(discarded, earlier, decoded(earlier))

    def _forget(self, events: Collection[Recorded]) -> None:
        for event in events:
            if event.topic in ENDS:
                self._stories.pop(event.task_id.int, None)
        while len(self._stories) > STORIES_MAX:
            del self._stories[next(iter(self._stories))]  # the one that has been there longest
