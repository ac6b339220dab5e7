"""Rounds of work wait in a backlog, and leave by fair turns, a few ahead of the processors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

import orjson

from tts.application.tasks import Application
from tts.domain.task import Task
from tts.domain.values import Priority
from tts.ports.log import Recorded
from tts.relay.fair_queue import FairQueue, Round
from tts.relay.messages import Publish, work
from tts.relay.unfinished import ROUNDS, Unfinished


class Dispatch:
    """The rounds of one leadership; at most ``window`` are with the broker and not taken.

    ``published`` holds the tasks of those.
    """

    def __init__(self, application: Application, publish: Publish, *, window: int) -> None:
        self.backlog = FairQueue()
        self.published: set[UUID] = set()
        self._application = application
        self._publish = publish
        self._window = window
        self._changed = asyncio.Event()

    async def recall(self, tasks: Mapping[UUID, Unfinished]) -> None:
        """Take over what an earlier leadership left."""
        for task_id, task in tasks.items():
            if task.topic in ROUNDS:
                item = Round(task_id, task.position, task.version)
                await self._enqueue(item, task.owner, task.priority)
            elif task.topic == Task.Queued.TOPIC:
                self.published.add(task_id)

    async def account(self, event: Recorded) -> None:
        """Take the next event into account: it asks for a round, or ends the waiting for one."""
        if event.topic in ROUNDS:
            state = orjson.loads(event.state)
            item = Round(event.task_id, event.position, event.version)
            await self._enqueue(item, state.get("owner"), state.get("priority", Priority.NORMAL))
        else:  # a processor has it, or nobody is to work on it any more
            self.published.discard(event.task_id)
            self.backlog.discard(event.task_id)
        self._changed.set()

    async def run(self) -> None:
        """Publish rounds as the window has room for them, until canceled."""
        while True:
            while turns := self._turns():
                await asyncio.gather(*map(self._send, turns))
            self._changed.clear()
            await self._changed.wait()

    async def _enqueue(self, item: Round, owner: str | None, priority: str) -> None:
        if owner is None:  # asked for again: the task's first event knows
            state = orjson.loads((await self._application.store.events(item.task_id))[0].state)
            owner, priority = state.get("owner", ""), state.get("priority", Priority.NORMAL)
        self.backlog.add(item, owner=owner, priority=priority)

    def _turns(self) -> list[Round]:
        """Those whose turn it is now, as many as the window has room for.

        Under load several go together, for the price of one: a quarter of the window is awaited.
        """
        turns: list[Round] = []
        if self._window - len(self.published) < min(len(self.backlog), self._window // 4):
            return turns
        while self.backlog and len(self.published) < self._window:
            turns.append(item := self.backlog.pop())
            self.published.add(item.task_id)
        return turns

    async def _send(self, item: Round) -> None:
        await self._publish(work(item.task_id, item.position))
        await self._application.mark_queued(item.task_id, item.version, attempt=1)
