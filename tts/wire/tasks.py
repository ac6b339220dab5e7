"""A task as a query answers it: by itself, and in a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tts.domain.task import Task
from tts.domain.values import Status
from tts.wire.callbacks import CallbackFields
from tts.wire.fields import (
    Attempt,
    Bytes,
    ErrorCode,
    ErrorStep,
    ErrorText,
    EstimatedWaitMs,
    FormatName,
    NextCursor,
    NullableDuration,
    Position,
    PriorityName,
    QueuePosition,
    SpokenText,
    StatusName,
    Suspects,
    TaskId,
    Time,
    Url,
)
from tts.wire.read_models import Fresh


class Wait(TypedDict, total=False):
    """What a task that waits for its turn tells; null is what nobody knows.

    Both are some seconds old at most.
    """

    queuePosition: QueuePosition | None
    estimatedWaitMs: EstimatedWaitMs | None


class TaskAnswer(CallbackFields, Wait):
    """One task as the log has it."""

    taskId: TaskId
    status: StatusName
    templateId: str
    ttsText: SpokenText
    instruction: str | None
    audioUrl: Annotated[Url | None, Field(description="Set when the task succeeded.")]
    createdAt: Time
    updatedAt: Time
    completedAt: Time | None
    attempt: Attempt
    maxAttempts: int
    priority: PriorityName
    format: FormatName
    position: Position
    error: NotRequired[ErrorText]
    code: NotRequired[ErrorCode]
    step: NotRequired[ErrorStep]
    retryAt: NotRequired[Annotated[Time, Field(description="When the next attempt starts.")]]
    bytes: NotRequired[Bytes]
    duration: NotRequired[NullableDuration]
    segments: NotRequired[
        Annotated[
            int,
            Field(ge=1, description="How many predictions speak the text; left out if it is one."),
        ]
    ]
    segmentsDone: NotRequired[Annotated[int, Field(ge=0)]]
    partialAudioUrls: NotRequired[
        Annotated[
            list[Url],
            Field(
                description="The audio of the first segments, in order and without a gap, while "
                "the whole is being spoken. Each can be played by itself; they are kept for a day."
            ),
        ]
    ]
    suspectSegments: NotRequired[Suspects]
    dismissedAt: NotRequired[
        Annotated[Time, Field(description="When its failure was seen and let be.")]
    ]
    erasedAt: NotRequired[Annotated[Time, Field(description="When text and audio were erased.")]]
    archivedAt: NotRequired[
        Annotated[
            Time,
            Field(description="When its events left the log: it has no timeline here any more."),
        ]
    ]


class TaskRow(TypedDict):
    """One task in a list."""

    taskId: TaskId
    status: StatusName
    templateId: str
    attempt: Attempt
    error: ErrorText | None
    code: ErrorCode | None
    step: ErrorStep | None
    audioUrl: Url | None
    format: FormatName | None
    bytes: Bytes | None
    duration: NullableDuration
    createdAt: Time
    updatedAt: Time
    completedAt: Time | None
    retryAt: Time | None
    position: Position


class TaskList(Fresh):
    """One page of tasks, newest first."""

    tasks: list[TaskRow]
    nextCursor: NextCursor


def task_answer(
    task: Task, position: int, words: tuple[str, str] | None, audio_url: Callable[[str], str]
) -> TaskAnswer:
    """The data of ``GET /api/tts/task/:taskId``.

    ``words`` are text and instruction, None once they are erased.
    """
    answer: TaskAnswer = {
        "taskId": str(task.id),
        "status": task.status.value,
        "templateId": task.template_id,
        "ttsText": words[0] if words else None,
        "instruction": (words[1] or None) if words else None,
        "audioUrl": audio_url(task.object_key) if task.object_key else None,
        "createdAt": task.created_on.isoformat(),
        "updatedAt": task.modified_on.isoformat(),
        "completedAt": task.completed_at.isoformat() if task.completed_at else None,
        "attempt": task.attempt,
        "maxAttempts": task.max_attempts,
        "priority": task.priority,
        "format": task.audio_format,
        "position": position,
    }
    if task.error is not None:
        answer |= {"error": task.error.message, "code": task.error.code, "step": task.error.step}
    if task.due_at is not None:
        answer["retryAt"] = task.due_at.isoformat()
    if task.size is not None:
        answer |= {"bytes": task.size, "duration": task.duration}
    if task.dismissed_at is not None:
        answer["dismissedAt"] = task.dismissed_at.isoformat()
    if len(task.segments) > 1:
        answer |= {
            "segments": len(task.segments),
            "segmentsDone": sum(segment.downloaded for segment in task.segments),
            "partialAudioUrls": _parts(task, audio_url),
        }
    if suspects := _suspects(task):
        answer["suspectSegments"] = suspects
    if task.erased_at is not None:
        answer["erasedAt"] = task.erased_at.isoformat()
    return answer


def _parts(task: Task, audio_url: Callable[[str], str]) -> list[str]:
    """The parts of a long text in the order in which they are to be heard."""
    parts: list[str] = []
    for segment in task.segments:
        if segment.part is None or task.erased_at is not None:
            break
        parts.append(audio_url(segment.part))
    return parts


def _suspects(task: Task) -> list[int]:
    """As ``succeeded`` has them; before that, a part may still be spoken anew."""
    if task.status is not Status.SUCCEEDED:
        return []
    return [index for index, segment in enumerate(task.segments) if segment.suspect]
