"""The prediction of a segment: the intent to create it, and how its id comes into the log."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tts.domain import steps
from tts.domain.failures import StepError, Treatment
from tts.ports.speech import Prediction, Speech, Template
from tts.processor.claimed_segment import ClaimedSegment
from tts.processor.forgotten_predictions import FORGOTTEN_FOR
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.settlement import Settlement

PROMISE_SECONDS = 1.0  # behind which a promise has to be made anew: the gate may take long
CREATE_FAILED = "create_failed"  # Replicate's own answer: nothing is under way


class Creation:
    """Creates the prediction of one segment, or takes the one that was created before."""

    def __init__(
        self, segment: ClaimedSegment, resources: Resources, script: Script, settlement: Settlement
    ) -> None:
        self._segment = segment
        self._claimed = segment.claimed
        self._resources = resources
        self._script = script
        self._settlement = settlement

    async def start(self) -> None:
        """Wait for a place at the gate and record the intent.

        Raises:
            StepError: the template or the text is not to be had.
        """
        template = await self._script.template()
        await self._script.payload()
        forgotten = await self._forgotten()
        if forgotten is not None:
            await self._intend(template)
            await self._record(forgotten, found=True)
            return
        # The wait comes before the intent: behind it, the request has to leave at once.
        if await self._may_create():
            await self._intend(template)

    async def _may_create(self) -> bool:
        """Wait until what is to be paid for can be made and stored; false if time ran out first."""
        until, changed = self._claimed.task.deadline_at, self._claimed.changed
        storing, gate = self._resources.storing, self._resources.gate
        clock = asyncio.get_running_loop().time
        while await storing.promise(until=until, changed=changed):
            promised = clock()
            if not await gate.admit(self._segment.permit, until=until, changed=changed):
                return False
            if not storing.away or clock() - promised < PROMISE_SECONDS:
                return True
            gate.leave(self._segment.permit)
        return False

    async def _intend(self, template: Template) -> None:
        await self._claimed.append(
            lambda task, now: task.start_processing(
                self._claimed.lease,
                transcript_hash=template.transcript_hash,
                audio_url=template.audio_url,
                audio_etag=template.audio_etag,
                segments=[self._segment.index],
                now=now,
            )
        )

    async def _forgotten(self) -> str | None:
        """A prediction of which the log knows nothing because it went back, intent and all."""
        epoch, task = self._resources.log.epochs.newest, self._claimed.task
        if epoch is None or not epoch.first or task.created_on > epoch.began:
            return None
        now = self._claimed.now()
        if now > epoch.began + FORGOTTEN_FOR:
            return None
        # One that was being created when the log went back is in the list by then.
        certain_at = epoch.began + steps.INTENT_FRESH + steps.LIST_LAG
        await asyncio.sleep((certain_at - now).total_seconds())
        index = self._segment.index
        speech = await self._script.speech(index)
        return await self._settlement.forgotten(index, speech, epoch)

    async def settle(self, intent_at: datetime) -> None:
        """Record what came of an earlier worker's intent, or the intent once more."""
        index = self._segment.index
        speech = await self._script.speech(index)
        prediction_id = await self._settlement.for_sure(index, speech, intent_at)
        if prediction_id is None:
            await self.start()
        else:
            await self._record(prediction_id, found=True)

    async def create(self) -> None:
        """Create the prediction and record its id.

        Raises:
            StepError: at step ``create``, or at ``find`` where the outcome is in doubt.
        """
        speech = await self._script.speech(self._segment.index)
        try:
            prediction = await self._create(speech)
        except StepError as failure:
            await self._resources.gate.settle(self._segment.permit, failure)
            prediction_id = await self._created_all_the_same(failure, speech)
            if prediction_id is None:
                raise
            await self._record(prediction_id, found=True)
        else:
            self._segment.see(prediction)
            try:
                await self._record(prediction.id, found=False)
            finally:  # also when the task is another worker's by now: the service is there
                await self._resources.gate.settle(self._segment.permit, None)

    async def _create(self, speech: Speech) -> Prediction:
        owners, task = self._resources.prediction_owners, self._claimed.task
        left = (task.deadline_at - self._claimed.now()).total_seconds()
        with owners.creating(speech):
            prediction = await self._resources.predictions.create(speech, seconds_left=left)
            # While it counts as under way: behind that, others take what nobody has.
            owners.created(prediction.id, (task.id, self._segment.index))
        return prediction

    async def _created_all_the_same(self, failure: StepError, speech: Speech) -> str | None:
        """The prediction that came of a creation which seems to have failed."""
        index, intent_at = self._segment.index, self._segment.state.intent_at
        if intent_at is None:
            return None
        if failure.code == CREATE_FAILED:
            return await self._settlement.after_refusal(index, speech, intent_at)
        if failure.treatment is Treatment.AMBIGUOUS:
            return await self._settlement.once(index, speech, intent_at)
        return None

    async def _record(self, prediction_id: str, *, found: bool) -> None:
        await self._claimed.append(
            lambda task, now: task.record_prediction(
                self._claimed.lease,
                segment=self._segment.index,
                prediction_id=prediction_id,
                model_version=self._resources.model_version,
                found=found,
                now=now,
            )
        )
