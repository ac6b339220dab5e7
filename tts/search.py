"""Settles a creation of unknown outcome: is there a prediction, or will there never be one.

Replicate's list tells what a prediction speaks but not for whom, and two tasks, or two segments of
one text, may speak the same. A prediction is taken for one of them alone: never one that the log
has, nor one that this process has for another. The oldest is taken first, because it may be too
old for the others, which were intended later.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
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
LOOKBACK_POSITIONS = 5_000  # how far before an intent others' predictions are looked for


class Search:
    """Looks for the predictions of one task in Replicate's list."""

    def __init__(self, application: Application, outside: Outside, task_id: UUID) -> None:
        self._application = application
        self._outside = outside
        self._creations = outside.creations
        self._task_id = task_id

    def creating(self, speech: Speech) -> AbstractContextManager[None]:
        """See :meth:`Creations.creating`."""
        return self._creations.creating(speech)

    def created(self, segment: int, prediction_id: str) -> None:
        """Replicate said whose the prediction is; to be called before :meth:`creating` is left."""
        self._creations.take(prediction_id, (self._task_id, segment))

    async def for_sure(self, segment: int, speech: Speech, intent_at: datetime) -> str | None:
        """The prediction that came of the intent, or None once it is certain that there is none."""
        window = INTENT_FRESH + LIST_LAG + timedelta(seconds=self._outside.create_timeout)
        while True:
            over = self._application.now() >= intent_at + window
            found = await self.once(segment, speech, intent_at)
            if found is not None or (over and not self._creations.under_way(speech)):
                return found
            await asyncio.sleep(POLL_SECONDS)

    async def once(self, segment: int, speech: Speech, intent_at: datetime) -> str | None:
        """The oldest prediction since the intent for this speech that is nobody else's."""
        found = await self._outside.predictions.find(speech, since=intent_at - CLOCK_SKEW)
        recorded = await self._recorded(segment) if found else frozenset()
        if self._creations.under_way(speech):
            return None
        for id_ in reversed(found):
            if id_ not in recorded and self._creations.take(id_, (self._task_id, segment)):
                return id_
        return None

    async def _recorded(self, segment: int) -> frozenset[str]:
        """Predictions of about the time of the segment's intent that the log has for a segment."""
        events = await self._application.store.events(self._task_id)
        intents = [
            event.position
            for event in events
            if event.topic == Task.ProcessingStarted.TOPIC
            and segment in orjson.loads(event.state)["segments"]
        ]
        position = max(intents[-1] - LOOKBACK_POSITIONS, 0)
        ids: set[str] = set()
        while rows := await self._outside.log.read(position, 1000):
            position = rows[-1].position
            ids |= {
                orjson.loads(row.state)["prediction_id"]
                for row in rows
                if row.topic == Task.PredictionCreated.TOPIC
            }
        return frozenset(ids)
