"""What becomes of a task when steps failed: another attempt later, or the end."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from tts.domain import retry
from tts.domain.failures import StepError
from tts.domain.steps import Create, SegmentStep
from tts.domain.values import GiveUp, RetryLater
from tts.processor.claimed_segment import permit
from tts.processor.claimed_task import ClaimedTask
from tts.processor.resources import Resources

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setback:
    """A step failed: of which segment and which one, if it was one of a segment's."""

    failure: StepError
    segment: int | None = None
    step: SegmentStep | None = None


def report(claimed: ClaimedTask, setbacks: list[Setback]) -> None:
    """Log each failure, once."""
    for setback in setbacks:
        logger.warning(
            "%s failed: %s",
            setback.failure.step,
            setback.failure.message,
            extra={**claimed.about(), "code": setback.failure.code, "segment": setback.segment},
        )


async def end_attempt(claimed: ClaimedTask, resources: Resources, setbacks: list[Setback]) -> None:
    """Append the one event that the failures of an attempt lead to."""
    match _decide(claimed, resources, setbacks):
        case RetryLater() as later:
            await claimed.append(
                lambda task, now: task.schedule_retry(claimed.lease, later, now=now)
            )
        case GiveUp() as gave_up:
            await claimed.append(lambda task, now: task.fail(claimed.lease, gave_up, now=now))
            # What may still run has nobody any more who would give its place back.
            for index in range(len(claimed.task.segments)):
                resources.gate.leave(permit(claimed.task.id, index))


def _decide(
    claimed: ClaimedTask, resources: Resources, setbacks: list[Setback]
) -> RetryLater | GiveUp:
    return retry.combine(
        [
            retry.decide(
                claimed.task,
                setback.segment,
                setback.failure,
                resources.policy,
                creating=isinstance(setback.step, Create),
                now=claimed.now(),
                random=random.random,
            )
            for setback in setbacks
        ]
    )
