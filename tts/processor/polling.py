"""The wait for a prediction: looks at it now and then, and at once when its webhook comes."""

from __future__ import annotations

import asyncio

from tts.domain.failures import StepError, Treatment
from tts.ports.speech import Prediction, PredictionState
from tts.processor.claimed_segment import ClaimedSegment
from tts.processor.resources import Resources

POLL_FAILURES = 10  # in a row, before the attempt ends
FIRST_POLL_PAUSE_SECONDS = 0.5  # after a failure to look; it doubles with each
POLL_PAUSE_CAP_SECONDS = 15.0


async def output_of(
    segment: ClaimedSegment, prediction_id: str, resources: Resources
) -> Prediction | None:
    """The prediction once it has an output, or None if something else is to be done first.

    Raises:
        StepError: at step ``poll``.
    """
    with resources.wakeups.expect(prediction_id) as woken:
        prediction = await _until_over(segment, prediction_id, resources, woken)
    if prediction is not None and prediction.output_url is None:
        raise StepError(
            "prediction_canceled",
            "poll",
            f"prediction {prediction_id} was canceled, and not by us",
        )
    return prediction


async def _until_over(
    segment: ClaimedSegment, prediction_id: str, resources: Resources, woken: asyncio.Event
) -> Prediction | None:
    claimed = segment.claimed
    prediction = segment.take_seen()
    failures = 0
    pause = 0.0
    if prediction is not None:  # it was created just now
        pause = max(resources.poll_interval, resources.durations.shortest)
    while prediction is None or prediction.state is PredictionState.RUNNING:
        await claimed.pause(pause, woken)
        if claimed.interrupted or claimed.now() >= claimed.task.deadline_at:
            return None
        woken.clear()
        try:
            prediction = await resources.predictions.get(prediction_id)
            failures = 0
            pause = resources.poll_interval
        except StepError as failure:
            # To look again costs nothing: an attempt ends only when it fails for long.
            failures += 1
            patient = failure.treatment in {Treatment.TRANSIENT, Treatment.THROTTLED}
            if not patient or failures > POLL_FAILURES:
                raise
            pause = min(FIRST_POLL_PAUSE_SECONDS * 2**failures, POLL_PAUSE_CAP_SECONDS)
            pause = max(pause, failure.retry_after or 0.0)
    if prediction.total_time is not None:
        resources.durations.add(prediction.total_time)
    return prediction
