"""Settles a creation of unknown outcome: is there a prediction, or will there never be one."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from tts.application import Application
from tts.domain import Task
from tts.outside import Outside
from tts.ports import Speech
from tts.steps import INTENT_FRESH, LIST_LAG

POLL_SECONDS = 1.0
CLOCK_SKEW = timedelta(seconds=5)  # Replicate stamps predictions with its own clock
LOOKBACK_POSITIONS = 5_000  # how far before an intent other tasks' predictions are looked for


class Search:
    """Looks for the predictions of one task in Replicate's list."""

    def __init__(self, application: Application, outside: Outside, task_id: UUID) -> None:
        self._application = application
        self._outside = outside
        self._task_id = task_id

    async def for_sure(self, speech: Speech, intent_at: datetime) -> str | None:
        """The prediction that came of the intent, or None once it is certain that there is none."""
        window = INTENT_FRESH + LIST_LAG + timedelta(seconds=self._outside.create_timeout)
        while True:
            over = self._application.now() >= intent_at + window
            found = await self.once(speech, intent_at)
            if found is not None or over:
                return found
            await asyncio.sleep(POLL_SECONDS)

    async def once(self, speech: Speech, intent_at: datetime) -> str | None:
        """The newest prediction since the intent for this speech that is no other task's."""
        found = await self._outside.predictions.find(speech, since=intent_at - CLOCK_SKEW)
        others = await self._recorded_for_others() if found else frozenset()
        return next((id_ for id_ in found if id_ not in others), None)

    async def _recorded_for_others(self) -> frozenset[str]:
        """Predictions of about that time that are other tasks': two may speak the same text."""
        events = await self._application.store.events(self._task_id)
        intents = [e.position for e in events if e.topic == Task.ProcessingStarted.TOPIC]
        position = max(intents[-1] - LOOKBACK_POSITIONS, 0)
        ids: set[str] = set()
        while rows := await self._outside.log.read(position, 1000):
            position = rows[-1].position
            ids |= {
                orjson.loads(row.state)["prediction_id"]
                for row in rows
                if row.topic == Task.PredictionCreated.TOPIC and row.task_id != self._task_id
            }
        return frozenset(ids)
