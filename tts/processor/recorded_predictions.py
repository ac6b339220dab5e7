"""What the log has of predictions, for who looks for one that it has not."""

from __future__ import annotations

import asyncio
from datetime import datetime

import orjson

from tts.domain.task import Task
from tts.ports.epochs import WentBack
from tts.ports.log import Log, Recorded
from tts.processor.prediction_owners import Owner

TOPICS = frozenset({Task.ProcessingStarted.TOPIC, Task.PredictionCreated.TOPIC})
BATCH = 1000


class RecordedPredictions:
    """The ``ids`` of those from a position on; every look after the first reads what is new."""

    def __init__(self, log: Log, start: int) -> None:
        self.ids: set[str] = set()
        self._log = log
        self._start = self._position = start
        self._intents: dict[Owner, datetime] = {}
        self._turn = asyncio.Lock()

    async def look(self) -> None:
        """Bring it up to date with the log, whatever that has lost."""
        async with self._turn:
            try:
                await self._read()
            except WentBack:
                self.ids, self._intents, self._position = set(), {}, self._start
                await self._read()

    def unsettled(self, since: datetime) -> set[Owner]:
        """Who decided on a creation, not before that time, and has no prediction in the log."""
        return {owner for owner, decided_at in self._intents.items() if decided_at > since}

    async def _read(self) -> None:
        end = await self._log.position()
        while events := await self._log.read(self._position, BATCH, TOPICS):
            for event in events:
                self._take(event)
            self._position = events[-1].position
        # However few of them there were: everything up to there has been read.
        self._position = max(self._position, end)

    def _take(self, event: Recorded) -> None:
        state = orjson.loads(event.state)
        if event.topic == Task.PredictionCreated.TOPIC:
            self.ids.add(state["prediction_id"])
            self._intents.pop((event.task_id, state["segment"]), None)
        else:
            decided_at = datetime.fromisoformat(state["timestamp"])
            self._intents |= {(event.task_id, index): decided_at for index in state["segments"]}
