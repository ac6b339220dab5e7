"""Stops what runs upstream for a task: because somebody asked for it, or time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tts.domain.values import GiveUp, TaskError
from tts.processor.claimed_segment import permit
from tts.processor.claimed_task import ClaimedTask
from tts.processor.concurrently import concurrently
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.segment_run import SegmentRun
from tts.processor.settlement import Settlement

CANCEL_TRIES = 5
CANCEL_PAUSE_SECONDS = 2.0  # before the second try; doubled each time


class Stopping:
    """Ends the claimed task before it has succeeded."""

    def __init__(
        self,
        claimed: ClaimedTask,
        resources: Resources,
        script: Script,
        settlement: Settlement,
        segment_run: Callable[[int], SegmentRun],
    ) -> None:
        self._claimed = claimed
        self._resources = resources
        self._script = script
        self._settlement = settlement
        self._segment_run = segment_run
        self._failures = 0

    async def expire(self) -> None:
        """Fail the task whose deadline has passed, unless its outputs turn out to be there."""
        claimed, predictions = self._claimed, self._resources.predictions
        for index, segment in enumerate(claimed.task.segments):
            if segment.prediction_id is not None and segment.output_url is None:
                await predictions.cancel(segment.prediction_id)
                # It may have ended just before: what is paid for is delivered.
                prediction = await predictions.get(segment.prediction_id)
                if prediction.output_url is not None:
                    await self._segment_run(index).download.start(prediction)
                self._resources.gate.leave(permit(claimed.task.id, index))
        if all(segment.output_url is not None for segment in claimed.task.segments):
            return
        error = TaskError("deadline_exceeded", "deadline", "the task's deadline has passed")
        gave_up = GiveUp(error, permanent=False)
        await claimed.append(lambda task, now: task.fail(claimed.lease, gave_up, now=now))

    async def cancel(self) -> None:
        """Cancel every prediction, remove what is stored, and confirm."""
        claimed = self._claimed
        count = len(claimed.task.segments)
        await concurrently(self._cancel_segment(index) for index in range(count))
        if all(segment.downloaded for segment in claimed.task.segments):
            # It may be stored already, by us or by a worker that died before it could say so.
            await self._resources.audio.delete(claimed.task.audio_key)
        await self._confirm()

    async def cancel_again(self) -> None:
        """Wait before the next try; after some the task ends all the same.

        What may still run upstream then was created with a time limit of its own (Cancel-After).
        """
        self._failures += 1
        if self._failures < CANCEL_TRIES:
            await asyncio.sleep(CANCEL_PAUSE_SECONDS * 2 ** (self._failures - 1))
        else:
            await self._confirm()

    async def _confirm(self) -> None:
        task = self._claimed.task
        for index, segment in enumerate(task.segments):
            if segment.prediction_id is not None:
                await self._resources.kept.forget(task.id, index, segment.prediction_id)
        await self._claimed.append(lambda task, now: task.confirm_cancel(now=now))

    async def _cancel_segment(self, index: int) -> None:
        task = self._claimed.task
        segment = task.segments[index]
        prediction_id = None if segment.output_url else segment.prediction_id
        if segment.intent_at is not None:
            speech = await self._script.speech(index)
            prediction_id = await self._settlement.for_sure(index, speech, segment.intent_at)
        if prediction_id is not None:
            await self._resources.predictions.cancel(prediction_id)
        self._resources.gate.leave(permit(task.id, index))
