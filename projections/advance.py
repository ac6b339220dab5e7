"""One step of some read models together: their rows and positions in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any
from uuid import UUID

import orjson

from projections import registry
from projections.ports import Database, Projection, State
from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.wire import UPDATES

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
        states = decoded(events)
        try:
            await self._write(events, states)
        except BaseException:
            self._stories.clear()  # they may be ahead of the rows
            raise
        self.position = events[-1].position
        self._forget(events)

    async def _write(self, events: Sequence[Recorded], states: Sequence[State]) -> None:
        await self._recall(events)
        batches = [projection.batch() for projection, _ in self.models]
        self._fold(batches, events, states)
        async with self._database.transaction() as transaction:
            moved = await registry.move(
                transaction,
                self._names,
                self.position,
                events[-1].position,
                serving=self._serving,
            )
            if moved != self._names:
                raise Moved
            for batch, (_, place) in zip(batches, self.models, strict=True):
                await batch.write(transaction, place)

    def _fold(
        self, batches: Sequence[Any], events: Sequence[Recorded], states: Sequence[State]
    ) -> None:
        stories = self._stories
        for event, state in zip(events, states, strict=True):
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
            self._fold(discarded, earlier, decoded(earlier))

    def _forget(self, events: Collection[Recorded]) -> None:
        for event in events:
            if event.topic in ENDS:
                self._stories.pop(event.task_id.int, None)
        while len(self._stories) > STORIES_MAX:
            del self._stories[next(iter(self._stories))]  # the one that has been there longest
