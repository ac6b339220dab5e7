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
EARLIER_POSITIONS = 20_000  # read as well, for those who ask next and were asked for before
REACH_POSITIONS = 200_000  # some 20,000 tasks: behind it, what was read is begun anew, not kept


class PredictionsSince:
    """The ``ids`` of those from the position ``start`` on."""

    def __init__(self, log: Log, start: int) -> None:
        self.start = start
        self.ids: set[str] = set()
        self._log = log
        self._position = start
        self._intents: dict[Owner, datetime] = {}

    def unsettled(self, since: datetime) -> set[Owner]:
        """Who decided on a creation, not before that time, and has no prediction in the log."""
        return {owner for owner, decided_at in self._intents.items() if decided_at > since}

    async def read(self) -> None:
        """Read what is new in the log.

        Raises:
            WentBack: some of what was read may be gone; this can go no further.
        """
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


class RecordedPredictions:
    """One for each process: all who are in doubt share what has been read.

    After a failover a whole backlog is, and would otherwise read the log once for each task.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._shared: PredictionsSince | None = None
        self._turn = asyncio.Lock()

    async def since(self, position: int) -> PredictionsSince:
        """Those from a position on, or from an earlier one, as the log has them now."""
        async with self._turn:
            shared = self._shared
            if shared is None or not self._reaches(shared, position):
                shared = self._begin(position)
            try:
                await shared.read()
            except WentBack:
                shared = self._begin(position)
                await shared.read()
            return shared

    def _reaches(self, shared: PredictionsSince, position: int) -> bool:
        span = self._log.epochs.span(shared.start, position)
        return shared.start <= position and span < REACH_POSITIONS

    def _begin(self, position: int) -> PredictionsSince:
        start = self._log.epochs.before(position, EARLIER_POSITIONS)
        self._shared = PredictionsSince(self._log, start)
        return self._shared
