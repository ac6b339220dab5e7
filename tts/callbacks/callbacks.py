"""From the log to whoever wants to be told: every end of a task with a callback is delivered.

One process leads. It writes down what is to be told before it moves on in the log, and how each
attempt went; a crash in between tells again, under the same ``webhook-id``.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import orjson

from tts.callbacks.delivery import Delivery
from tts.domain.task import Task
from tts.patience import first_of, lead
from tts.ports.callbacks import Callback, CallbackTable
from tts.ports.coordination import Coordination
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log, Recorded

NAME = "callbacks"
ENDS = frozenset({Task.Succeeded.TOPIC, Task.Failed.TOPIC, Task.Canceled.TOPIC})
FOLLOWED = ENDS | {Task.Erased.TOPIC}
CHECKPOINT_SECONDS = 1.0
BATCH = 500
GATHER_SECONDS = 0.1  # of many tasks that end; one that ends alone is read at once


class Callbacks:
    """Delivers while it leads; any number of others stand by."""

    def __init__(
        self, log: Log, coordination: Coordination, table: CallbackTable, delivery: Delivery
    ) -> None:
        self._log = log
        self._coordination = coordination
        self._table = table
        self._delivery = delivery
        self._position = 0

    async def run(self) -> None:
        """Wait for the leadership, deliver, and start over when it is lost; until canceled."""
        await lead(self._coordination, NAME, self._lead)

    async def _lead(self) -> None:
        try:
            self._position = await self._coordination.checkpoint(NAME)
            await first_of(
                self._follow(),
                self._save_checkpoints(),
                self._delivery.run(),
                self._delivery.tidy(),
            )
        except WentBack as error:  # the table has gone back with the log
            raise Unavailable(str(error)) from error

    async def _follow(self) -> None:
        async for events in self._log.follow(self._position, batch=BATCH, topics=FOLLOWED):
            if ended := [callback for event in events if (callback := _callback(event))]:
                await self._table.add(ended)
                self._delivery.look()
            if erased := [e.task_id for e in events if e.topic == Task.Erased.TOPIC]:
                await self._table.forget(erased)
            self._position = events[-1].position
            if len(events) < BATCH:
                await asyncio.sleep(GATHER_SECONDS)

    async def _save_checkpoints(self) -> None:
        saved = self._position
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            if (position := self._position) != saved:
                await self._coordination.save_checkpoint(NAME, position)
                saved = position


def _callback(event: Recorded) -> Callback | None:
    """What is to be told of an event, if anything is."""
    # Of a million ends most have no callback: they are not read.
    if event.topic not in ENDS or b'"callback_url"' not in event.state:
        return None
    state = orjson.loads(event.state)
    url = state.get("callback_url")
    if not url:
        return None
    at = datetime.fromisoformat(state["timestamp"]).timestamp()
    return Callback(event.task_id, event.version, url, began=at, due=at, updated=at)
