"""What clients see of an event: the ``task_update`` of the original service, one table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired, cast

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from tts.domain.errors import NewerEvent
from tts.domain.naming import format_of
from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.log import Recorded
from tts.wire.fields import (
    Attempt,
    Bytes,
    Duration,
    ErrorCode,
    ErrorStep,
    ErrorText,
    EstimatedWaitMs,
    FormatName,
    Permanent,
    Position,
    QueuePosition,
    Seconds,
    SegmentIndex,
    StatusName,
    Suspects,
    TaskId,
    Time,
    Url,
)


class TaskUpdate(TypedDict):
    """One event of a task. Fields that do not belong to its status are left out."""

    taskId: TaskId
    status: StatusName
    timestamp: Time
    position: Position
    templateId: NotRequired[str]
    attempt: NotRequired[Attempt]
    queuePosition: NotRequired[QueuePosition]
    estimatedWaitMs: NotRequired[EstimatedWaitMs]
    worker: NotRequired[Annotated[str, Field(description="The processor that took the task.")]]
    segment: NotRequired[SegmentIndex]
    segments: NotRequired[Annotated[int, Field(ge=1, description="How many parts the text has.")]]
    partialAudioUrl: NotRequired[
        Annotated[
            Url,
            Field(
                description="The audio of this part of a long text, which can be played by itself."
            ),
        ]
    ]
    suspectTruncation: NotRequired[
        Annotated[
            Literal[True],
            Field(description="The audio is too short for the text, although it was spoken twice."),
        ]
    ]
    suspectAudio: NotRequired[
        Annotated[
            Literal[True],
            Field(description="The audio is silent or broken, although it was spoken twice."),
        ]
    ]
    suspectSegments: NotRequired[Suspects]
    predictionId: NotRequired[str]
    predictTime: NotRequired[Seconds]
    bytes: NotRequired[Bytes]
    duration: NotRequired[Duration]
    format: NotRequired[FormatName]
    audioUrl: NotRequired[Url]
    error: NotRequired[ErrorText]
    code: NotRequired[ErrorCode]
    step: NotRequired[ErrorStep]
    permanent: NotRequired[Permanent]
    delay: NotRequired[Annotated[Seconds, Field(description="Seconds until the next attempt.")]]
    retryAt: NotRequired[Time]
    by: NotRequired[Annotated[str, Field(description="Who asked for it.")]]
    reason: NotRequired[str]
    dismissed: NotRequired[
        Annotated[
            Literal[True],
            Field(description="The failure was seen and let be: it is no dead letter any more."),
        ]
    ]
    erased: NotRequired[
        Annotated[Literal[True], Field(description="Text and audio are gone from here on.")]
    ]


class TimelineEvent(TaskUpdate):
    """One event of a task, as streams have it, and how long its status lasted."""

    lasted: Annotated[
        float | None, Field(description="Seconds until the next event; null for the newest.")
    ]


class Timeline(TypedDict):
    """Everything that happened to a task, in order."""

    taskId: TaskId
    status: StatusName
    position: Position
    events: list[TimelineEvent]


# topic -> the status it shows (None: the one that it carries), and which of the event's fields go
# out under which name
_ATTEMPT = {"attempt": "attempt"}
_OF = {**_ATTEMPT, "total": "segments"}
_SEGMENT = {**_OF, "segment": "segment"}
_ERROR = {**_ATTEMPT, "code": "code", "step": "step", "message": "error"}
_BY = {"by": "by", "reason": "reason"}

UPDATES: dict[str, tuple[Status | None, dict[str, str]]] = {
    Task.Requested.TOPIC: (Status.STARTING, {"template_id": "templateId"}),
    Task.Queued.TOPIC: (
        Status.QUEUED,
        {
            **_ATTEMPT,
            "queue_position": "queuePosition",
            "estimated_wait_ms": "estimatedWaitMs",
        },
    ),
    Task.Dequeued.TOPIC: (Status.DEQUEUED, {**_ATTEMPT, "worker": "worker"}),
    Task.ProcessingStarted.TOPIC: (Status.PROCESSING, _OF),
    Task.PredictionCreated.TOPIC: (
        Status.PREDICTION_CREATED,
        {**_SEGMENT, "prediction_id": "predictionId"},
    ),
    Task.DownloadStarted.TOPIC: (
        Status.DOWNLOADING,
        {**_SEGMENT, "predict_time": "predictTime"},
    ),
    Task.DownloadCompleted.TOPIC: (
        Status.DOWNLOAD_COMPLETE,
        {**_SEGMENT, "size": "bytes", "duration": "duration"},
    ),
    Task.Succeeded.TOPIC: (
        Status.SUCCEEDED,
        {
            **_ATTEMPT,
            "size": "bytes",
            "duration": "duration",
            "predict_time": "predictTime",
            "suspects": "suspectSegments",
        },
    ),
    Task.RetryScheduled.TOPIC: (
        Status.WAITING_RETRY,
        {**_ERROR, "delay": "delay", "due_at": "retryAt"},
    ),
    Task.RetryStarted.TOPIC: (Status.RETRYING, {**_ATTEMPT, "worker": "worker"}),
    Task.RetryRequested.TOPIC: (Status.RETRYING, _BY),
    Task.Failed.TOPIC: (Status.FAILED, {**_ERROR, "permanent": "permanent"}),
    Task.Dismissed.TOPIC: (Status.FAILED, _BY),
    Task.CancelRequested.TOPIC: (Status.CANCELING, _BY),
    Task.Canceled.TOPIC: (Status.CANCELED, _BY),
    Task.Erased.TOPIC: (None, {"by": "by"}),
}

_MARKS = {Task.Erased.TOPIC: "erased", Task.Dismissed.TOPIC: "dismissed"}


def status_of(topic: str, state: dict[str, Any]) -> str:
    """The status that a task has after an event.

    Raises:
        NewerEvent
    """
    status, _ = _shown(topic)
    return state["status"] if status is None else status.value


def task_update(
    event: Recorded, audio_url: Callable[[str], str], template_id: str | None = None
) -> TaskUpdate:
    """The data of one ``task_update``; ``audio_url`` turns an object key into a URL.

    The task's ``template_id`` stands in its first event alone, and in every update.

    Always ``taskId``, ``status``, ``timestamp`` (ISO 8601, UTC) and ``position``, then what belongs
    to the status.

    Raises:
        NewerEvent
    """
    _, fields = _shown(event.topic)
    state = orjson.loads(event.state)
    update: TaskUpdate = {
        "taskId": str(event.task_id),
        "status": status_of(event.topic, state),
        "timestamp": state["timestamp"],
        "position": event.position,
    }
    if template_id is not None:
        update["templateId"] = template_id
    # Filled from a table, which tests hold against the types of the events and of the update.
    table = cast("dict[str, Any]", update)
    for name, wire_name in fields.items():
        value = state.get(name)  # a field may be younger than the event
        if value is not None:
            table[wire_name] = value
    if event.topic == Task.ProcessingStarted.TOPIC:
        update["segment"] = state["segments"][0]
    if "object_key" in state:
        update["audioUrl"] = audio_url(state["object_key"])
        update["format"] = format_of(state["object_key"]).value
    if state.get("part"):
        update["partialAudioUrl"] = audio_url(state["part"])
    if state.get("suspect"):
        update["suspectTruncation"] = True
    if state.get("suspect_audio"):
        update["suspectAudio"] = True
    if (mark := _MARKS.get(event.topic)) is not None:
        table[mark] = True
    return update


def timeline(events: list[Recorded], audio_url: Callable[[str], str]) -> Timeline:
    """The data of ``GET /api/tts/task/:taskId/events``, from one task's events (at least one).

    Each is its ``task_update`` and ``lasted``: the seconds until the next, null for the newest.
    """
    template_id = orjson.loads(events[0].state).get("template_id")
    updates = [task_update(event, audio_url, template_id) for event in events]
    times = [datetime.fromisoformat(update["timestamp"]) for update in updates]
    # The clocks of two processes differ, if only by a little.
    durations = [max((end - start).total_seconds(), 0.0) for start, end in pairwise(times)]
    newest = updates[-1]
    return {
        "taskId": newest["taskId"],
        "status": newest["status"],
        "position": newest["position"],
        "events": [
            {**update, "lasted": lasted}
            for update, lasted in zip(updates, [*durations, None], strict=True)
        ],
    }


def _shown(topic: str) -> tuple[Status | None, dict[str, str]]:
    try:
        return UPDATES[topic]
    except KeyError:
        raise NewerEvent(topic) from None
