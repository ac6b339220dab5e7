"""Settles a creation of unknown outcome: is there a prediction, or will there never be one.

Replicate's list tells what a prediction speaks but not for whom, and two tasks, or two segments of
one text, may speak the same. A prediction is taken for one of them alone: never one that the log
has, nor one that another has taken, nor one that may be the answer to a creation which is under way
anywhere. The oldest is taken first, because it may be too old for the others, which were intended
later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from tts.application.tasks import Application
from tts.domain.failures import StepError
from tts.domain.steps import INTENT_FRESH, LIST_LAG
from tts.domain.task import Task
from tts.domain.values import Segment
from tts.ports.epochs import Epoch
from tts.ports.speech import Listed, Speech
from tts.processor.prediction_owners import Owner
from tts.processor.recorded_predictions import PredictionsSince
from tts.processor.resources import Resources
from tts.processor.script import words

POLL_SECONDS = 1.0
CLOCK_SKEW = timedelta(seconds=5)  # Replicate stamps predictions with its own clock
LOOKBACK_POSITIONS = 5_000  # how far before an intent others' predictions are looked for


@dataclass(frozen=True)
class Look:
    """What one look at the list has shown.

    ``certain`` is false while some prediction in it may be ours or another's.
    """

    prediction_id: str | None
    certain: bool


class Settlement:
    """Looks for the predictions of one task in Replicate's list."""

    def __init__(self, application: Application, resources: Resources, task: Task) -> None:
        self._application = application
        self._resources = resources
        self._owners = resources.prediction_owners
        self._task_id = task.id
        self._template_id = task.template_id
        self._asked_at = task.created_on
        # So long after an intent its creation is over, and the list would show the prediction.
        self._window = INTENT_FRESH + LIST_LAG + timedelta(seconds=resources.create_timeout)

    async def for_sure(self, segment: int, speech: Speech, intent_at: datetime) -> str | None:
        """The prediction that came of the intent, or None once it is certain that there is none."""
        began = time.monotonic()
        while True:
            # Whatever time the intent bears: no creation outlasts the window from here on.
            over = (
                self._application.now() >= intent_at + self._window
                or time.monotonic() >= began + self._window.total_seconds()
            )
            look = await self._look(segment, speech, intent_at)
            if look.prediction_id is not None or (over and look.certain):
                return look.prediction_id
            await asyncio.sleep(POLL_SECONDS)

    async def once(self, segment: int, speech: Speech, intent_at: datetime) -> str | None:
        """The oldest prediction since the intent for this speech that is surely nobody else's."""
        return (await self._look(segment, speech, intent_at)).prediction_id

    async def after_refusal(self, segment: int, speech: Speech, intent_at: datetime) -> str | None:
        """The prediction that was created although Replicate itself answered that it failed.

        Nothing is under way after such an answer, so the list needs its lag only.

        Raises:
            StepError: what there is may be another's as well: the doubt remains.
        """
        await asyncio.sleep(LIST_LAG.total_seconds())
        look = await self._look(segment, speech, intent_at)
        if not (look.prediction_id or look.certain):
            raise StepError(
                "create_ambiguous", "create", "what Replicate refused may have been created"
            )
        return look.prediction_id

    async def forgotten(self, segment: int, speech: Speech, epoch: Epoch) -> str | None:
        """The oldest prediction of the task of which the log knows nothing, for it went back."""
        until = epoch.began + self._window + CLOCK_SKEW
        while True:
            listed = await self._resources.forgotten_predictions.of(
                epoch, speech, since=self._asked_at - CLOCK_SKEW, until=until
            )
            look = await self._judge(segment, speech, listed, until, whole=True)
            if look.prediction_id is not None or look.certain:
                return look.prediction_id
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, segment: int, speech: Speech, intent_at: datetime) -> Look:
        until = intent_at + self._window + CLOCK_SKEW
        listed = await self._resources.predictions.find(
            speech, since=intent_at - CLOCK_SKEW, until=until
        )
        return await self._judge(segment, speech, listed, until)

    async def _judge(
        self,
        segment: int,
        speech: Speech,
        listed: list[Listed],
        until: datetime,
        *,
        whole: bool = False,
    ) -> Look:
        """Whether one of those that are listed, newest first, is surely nobody else's."""
        owner = (self._task_id, segment)
        recorded = await self._recorded(owner, whole=whole) if listed else None
        if recorded is None or recorded.ids.issuperset(each.id for each in listed):
            return Look(None, certain=not self._owners.under_way(speech))
        unsettled = recorded.unsettled(self._application.now() - self._window)
        rivals = [intent async for intent in self._rivals(unsettled - {owner}, speech)]
        if self._owners.under_way(speech):
            return Look(None, certain=False)
        certain = True
        for prediction in reversed(listed):
            if prediction.id in recorded.ids:
                continue
            if any(intent <= prediction.created_at + CLOCK_SKEW for intent in rivals):
                certain = certain and prediction.created_at > until
            elif await self._owners.take(prediction.id, owner):
                return Look(prediction.id, certain=True)
        return Look(None, certain)

    async def _recorded(self, owner: Owner, *, whole: bool) -> PredictionsSince:
        """The predictions that the log has, and who may be about to get one of which it has none.

        From well before the last intent of the segment in doubt, or for the ``whole`` of its task.
        """
        task_id, segment = owner
        events = await self._application.store.events(task_id)
        intents = [
            event.position
            for event in events
            if event.topic == Task.ProcessingStarted.TOPIC
            and segment in orjson.loads(event.state)["segments"]
        ]
        start = events[0].position if whole else intents[-1]
        position = self._resources.log.epochs.before(start, LOOKBACK_POSITIONS)
        return await self._resources.recorded_predictions.since(position)

    async def _rivals(self, unsettled: Iterable[Owner], speech: Speech) -> AsyncIterator[datetime]:
        """When others decided on creations for the same speech that may be under way now.

        What is in doubt itself is none: whoever looks for it takes, as we do, what is free.
        """
        for task_id, index in unsettled:
            task, _ = await self._application.load(task_id)
            intent_at = _under_way(task, task.segments[index])
            if intent_at is not None and await self._speaks(task, task.segments[index], speech):
                yield intent_at

    async def _speaks(self, task: Task, segment: Segment, speech: Speech) -> bool:
        payload = await self._application.store.payload(task.id)
        if payload is None or task.template_id != self._template_id:
            return False
        text = words(task, segment, payload.text, self._resources.segment_max_chars)
        return (text, payload.instruction) == (speech.text, speech.instruction)


def _under_way(task: Task, segment: Segment) -> datetime | None:
    """When the worker that has the task decided on a creation whose answer it may still get."""
    current = task.claimed and segment.intent_lease == task.lease
    return segment.intent_at if current else None
