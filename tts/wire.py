"""What clients see of an event: the ``task_update`` of the original service, one table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.log import Recorded

# topic -> the status it shows (None: the one that it carries), and which of the event's fields go
# out under which name
_ATTEMPT = {"attempt": "attempt"}
_OF = {**_ATTEMPT, "total": "segments"}
_SEGMENT = {**_OF, "segment": "segment"}
_ERROR = {**_ATTEMPT, "code": "code", "step": "step", "message": "error"}
_BY = {"by": "by", "reason": "reason"}

UPDATES: dict[str, tuple[Status | None, dict[str, str]]] = {
    Task.Requested.TOPIC: (Status.STARTING, {"template_id": "templateId"}),
    Task.Queued.TOPIC: (Status.QUEUED, _ATTEMPT),
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


def status_of(topic: str, state: dict[str, Any]) -> str:
    """The status that a task has after an event; a KeyError for an unknown topic."""
    status, _ = UPDATES[topic]
    return state["status"] if status is None else status.value


def task_update(event: Recorded, audio_url: Callable[[str], str]) -> dict[str, Any]:
    """The data of one ``task_update``; ``audio_url`` turns an object key into a URL.

    Always ``taskId``, ``status``, ``timestamp`` (ISO 8601, UTC) and ``position``, then what belongs
    to the status. An unknown topic is a KeyError: a log from a newer version needs newer readers.
    """
    state = orjson.loads(event.state)
    _, fields = UPDATES[event.topic]
    update: dict[str, Any] = {
        "taskId": str(event.task_id),
        "status": status_of(event.topic, state),
        "timestamp": state["timestamp"],
        "position": event.position,
    }
    for name, wire_name in fields.items():
        value = state.get(name)  # a field may be younger than the event
        if value is not None:
            update[wire_name] = value
    if event.topic == Task.ProcessingStarted.TOPIC:
        update["segment"] = state["segments"][0]
    if "object_key" in state:
        update["audioUrl"] = audio_url(state["object_key"])
    if state.get("part"):
        update["partialAudioUrl"] = audio_url(state["part"])
    if state.get("suspect"):
        update["suspectTruncation"] = True
    if event.topic == Task.Erased.TOPIC:
        update["erased"] = True
    if event.topic == Task.Dismissed.TOPIC:
        update["dismissed"] = True
    return update


def timeline(events: list[Recorded], audio_url: Callable[[str], str]) -> dict[str, Any]:
    """The data of ``GET /api/tts/task/:taskId/events``, from one task's events (at least one).

    Each is its ``task_update`` and ``lasted``: the seconds until the next, null for the newest.
    """
    updates = [task_update(event, audio_url) for event in events]
    times = [datetime.fromisoformat(update["timestamp"]) for update in updates]
    for update, began, ended in zip(updates, times, times[1:], strict=False):
        update["lasted"] = (ended - began).total_seconds()
    newest = updates[-1]
    newest["lasted"] = None
    return {
        "taskId": newest["taskId"],
        "status": newest["status"],
        "position": newest["position"],
        "events": updates,
    }


def dead_letter(task: Task, events: list[Recorded]) -> dict[str, Any]:
    """One failed task in the list of dead letters; ``events`` are all of its own."""
    failed = next(event for event in reversed(events) if event.topic == Task.Failed.TOPIC)
    assert task.error is not None and task.completed_at is not None  # noqa: S101, PT018 -- it failed
    return {
        "taskId": str(task.id),
        "status": task.status.value,
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


def predictions(events: list[Recorded]) -> list[dict[str, Any]]:
    """The predictions that were made for a task, in order; ``predictTime`` of those that succeeded.

    One whose creation was decided on, but whose id nobody learned, is not among them.
    """
    made: list[dict[str, Any]] = []
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


def task_answer(
    task: Task, position: int, said: tuple[str, str] | None, audio_url: Callable[[str], str]
) -> dict[str, Any]:
    """The data of ``GET /api/tts/task/:taskId``; ``said`` is (text, instruction) unless erased."""
    answer: dict[str, Any] = {
        "taskId": str(task.id),
        "status": task.status.value,
        "templateId": task.template_id,
        "ttsText": said[0] if said else None,
        "instruction": (said[1] or None) if said else None,
        "audioUrl": audio_url(task.object_key) if task.object_key else None,
        "createdAt": task.created_on.isoformat(),
        "updatedAt": task.modified_on.isoformat(),
        "completedAt": task.completed_at.isoformat() if task.completed_at else None,
        "attempt": task.attempt,
        "maxAttempts": task.max_attempts,
        "priority": task.priority,
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
        answer |= _progress(task, audio_url)
    if task.erased_at is not None:
        answer["erasedAt"] = task.erased_at.isoformat()
    return answer


def _progress(task: Task, audio_url: Callable[[str], str]) -> dict[str, Any]:
    """How far a long text is spoken; the parts in the order in which they are to be heard."""
    parts: list[str] = []
    for segment in task.segments:
        if segment.part is None:
            break
        parts.append(audio_url(segment.part))
    return {
        "segments": len(task.segments),
        "segmentsDone": sum(segment.downloaded for segment in task.segments),
        "partialAudioUrls": parts if task.erased_at is None else [],
    }
