"""One segment's way: from the intent to create a prediction to its audio."""

from __future__ import annotations

from tts.domain.failures import Treatment
from tts.domain.steps import (
    Create,
    Download,
    Poll,
    SegmentStep,
    Settle,
    Start,
    name_of,
    next_segment_step,
)
from tts.processor.claimed_segment import ClaimedSegment
from tts.processor.claimed_task import ClaimedTask
from tts.processor.creation import Creation
from tts.processor.download import SegmentDownload
from tts.processor.failing import Setback
from tts.processor.polling import output_of
from tts.processor.resources import Resources
from tts.processor.script import Script
from tts.processor.settlement import Settlement


class SegmentRun:
    """Speaks segment ``index`` of the claimed task."""

    def __init__(
        self,
        claimed: ClaimedTask,
        resources: Resources,
        script: Script,
        settlement: Settlement,
        index: int,
    ) -> None:
        self._claimed = claimed
        self._resources = resources
        self._segment = ClaimedSegment(claimed, index)
        self._creation = Creation(self._segment, resources, script, settlement)
        self.download = SegmentDownload(self._segment, resources, script)

    async def finish(self) -> Setback | None:
        """Do step after step until the audio is there, one fails, or there is news of the task.

        Raises:
            DomainError, Unavailable: the log refused a step, or cannot be reached.
        """
        claimed, index = self._claimed, self._segment.index
        while not claimed.interrupted:
            step = next_segment_step(claimed.task, index, claimed.lease, claimed.now())
            if step is None:
                break
            failure = await claimed.attempt(name_of(type(step)), self._perform(step))
            if failure is not None:
                # What cannot be looked at now runs on, and what is in doubt may be running.
                runs = isinstance(step, Poll) and not failure.failure.worthless
                if failure.treatment is not Treatment.AMBIGUOUS and not runs:
                    self._resources.gate.leave(self._segment.permit)
                return Setback(failure, index, step)
        state = self._segment.state
        if state.intent_at is None and state.prediction_id is None:
            self._resources.gate.leave(self._segment.permit)
        return None

    async def _perform(self, step: SegmentStep) -> None:
        match step:
            case Start():
                await self._creation.start()
            case Settle(intent_at):
                await self._creation.settle(intent_at)
            case Create():
                await self._creation.create()
            case Poll(prediction_id):
                prediction = await output_of(self._segment, prediction_id, self._resources)
                if prediction is not None:
                    await self.download.start(prediction)
            case Download():
                await self.download.complete()
