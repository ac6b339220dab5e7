"""Tasks that failed for good, as a list and one by one, and what was done to many of them."""

from __future__ import annotations

from typing import Annotated, Literal

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.wire.fields import (
    Attempt,
    ErrorCode,
    ErrorStep,
    ErrorText,
    NextCursor,
    Permanent,
    Position,
    Seconds,
    SegmentIndex,
    SpokenText,
    TaskId,
    Time,
)
from tts.wire.read_models import Fresh
from tts.wire.updates import TimelineEvent

SkipReason = Literal["task_not_found", "task_not_failed", "task_erased", "changed"]


class DeadLetter(TypedDict):
    """One task that has failed."""

    taskId: TaskId
    status: Literal["failed"]
    owner: Annotated[
        str, Field(description="Whose task it is; empty where no keys are configured.")
    ]
    templateId: str
    code: ErrorCode
    step: ErrorStep
    error: ErrorText
    permanent: Permanent
    attempts: Annotated[int, Field(ge=0, description="Attempts in the last round.")]
    maxAttempts: int
    predictions: Annotated[
        int,
        Field(
            ge=0, description="Predictions that were paid for, or may have been, over all rounds."
        ),
    ]
    textLength: Annotated[int, Field(description="Characters.")]
    createdAt: Time
    failedAt: Time
    position: Position


class DeadLetterPage(TypedDict):
    """One page of dead letters, those that failed last first."""

    deadLetters: list[DeadLetter]
    counts: Annotated[
        dict[str, int], Field(description="How many match, by error code; most first.")
    ]
    total: Annotated[int, Field(ge=0, description="How many match.")]
    nextCursor: NextCursor


class DeadLetterList(DeadLetterPage, Fresh):
    """One page of dead letters, and how fresh it is."""


class PredictionMade(TypedDict):
    """A prediction that Replicate made for the task."""

    predictionId: str
    segment: SegmentIndex
    attempt: Attempt
    modelVersion: str
    createdAt: Time
    predictTime: Annotated[
        Seconds | None,
        Field(description="Seconds that are billed; null if it did not succeed."),
    ]


class DeadLetterDetails(DeadLetter):
    """A failed task with all that is known of it."""

    ttsText: SpokenText
    instruction: str | None
    dismissedAt: Time | None
    erasedAt: Time | None
    predictionsMade: list[PredictionMade]
    events: Annotated[list[TimelineEvent], Field(description="The timeline.")]


class Skipped(TypedDict):
    """A task that was left as it is, and why."""

    taskId: TaskId
    code: SkipReason
    error: Annotated[str, Field(description="The same for people.")]


class BulkAnswer(TypedDict):
    """What one request has done, and where the next one goes on."""

    matched: Annotated[int, Field(ge=0, description="How many matched, from the cursor on.")]
    taskIds: Annotated[list[str], Field(description="Those that it was done to.")]
    skipped: Annotated[int, Field(ge=0, description="How many were left as they are.")]
    reasons: list[Skipped]
    remaining: Annotated[int, Field(ge=0, description="How many have not been looked at yet.")]
    next: Annotated[
        str | None,
        Field(description="Send the same request with this `cursor` to go on; null at the end."),
    ]
    dryRun: Annotated[bool, Field(description="Whether nothing was changed.")]


class Redriven(BulkAnswer):
    """How many tasks got another round of attempts; each is on disk as an event."""

    redriven: Annotated[int, Field(ge=0)]


class DismissedAnswer(BulkAnswer):
    """How many tasks are no dead letters any more; each is on disk as an event."""

    dismissed: Annotated[int, Field(ge=0)]


def dead_letter(task: Task, events: list[Recorded]) -> DeadLetter:
    """One failed task in the list of dead letters; ``events`` are all of its own."""
    failed = next(event for event in reversed(events) if event.topic == Task.Failed.TOPIC)
    assert task.error is not None and task.completed_at is not None  # noqa: S101, PT018 -- it failed
    return {
        "taskId": str(task.id),
        "status": "failed",
        "owner": task.owner,
        "templateId": task.template_id,
        "code": task.error.code,
        "step": task.error.step,
        "error": task.error.message,
        "permanent": orjson.loads(failed.state)["permanent"],
        "attempts": task.attempt,
        "maxAttempts": task.max_attempts,
        "predictions": task.predictions,
        "textLength": task.text_length,
        "createdAt": task.created_on.isoformat(),
        "failedAt": task.completed_at.isoformat(),
        "position": events[-1].position,
    }


def predictions(events: list[Recorded]) -> list[PredictionMade]:
    """The predictions that were made for a task, in order; ``predictTime`` of those that succeeded.

    One whose creation was decided on, but whose id nobody learned, is not among them.
    """
    made: list[PredictionMade] = []
    for event in events:
        state = orjson.loads(event.state)
        if event.topic == Task.PredictionCreated.TOPIC:
            made.append(
                {
                    "predictionId": state["prediction_id"],
                    "segment": state["segment"],
                    "attempt": state["attempt"],
                    "modelVersion": state["model_version"],
                    "createdAt": state["timestamp"],
                    "predictTime": None,
                }
            )
        elif event.topic == Task.DownloadStarted.TOPIC:
            for prediction in reversed(made):
                if prediction["segment"] == state["segment"]:
                    prediction["predictTime"] = state["predict_time"]
                    break
    return made
