"""Tasks brought as far as a test wants them, by the commands of a relay and of a processor.

Each command can be given other facts; who shows no lease has the newest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tts.application.tasks import Application
from tts.domain.task import Task
from tts.domain.values import GiveUp, Status, TaskError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def application(store: Any, **changes: Any) -> Application:
    """The use cases over the store."""
    options: dict[str, Any] = {"max_attempts": 3, "deadline_seconds": 600}
    return Application(store, **options | changes)


# --- the commands of a processor, on one segment


def start(
    task: Task, segment: int = 0, *, lease: int | None = None, now: datetime = NOW, **facts: Any
) -> None:
    """Record the intent to create a prediction."""
    voice = {
        "transcript_hash": "h",
        "audio_url": "https://templates.test/t1/source_audio.mp3",
        "audio_etag": None,
        "segments": [segment],
    }
    task.start_processing(lease or task.lease, now=now, **voice | facts)


def record(
    task: Task, segment: int = 0, *, lease: int | None = None, now: datetime = NOW, **facts: Any
) -> None:
    """Record the prediction: the task's first is p1."""
    under_way = sum(each.intent_at is not None for each in task.segments)
    number = task.predictions - under_way + 1
    made = {"prediction_id": f"p{number}", "model_version": "v1", "found": False}
    task.record_prediction(lease or task.lease, now=now, segment=segment, **made | facts)


def download(
    task: Task, segment: int = 0, *, lease: int | None = None, now: datetime = NOW, **facts: Any
) -> None:
    """Record that it succeeded."""
    output = {"predict_time": 1.5, "output_url": f"https://replicate.test/{segment}.wav"}
    task.start_download(lease or task.lease, now=now, segment=segment, **output | facts)


def complete(
    task: Task, segment: int = 0, *, lease: int | None = None, now: datetime = NOW, **facts: Any
) -> None:
    """Record that the output is here."""
    audio = {"size": 8, "sha256": "00", "duration": 2.5}
    task.complete_download(lease or task.lease, now=now, segment=segment, **audio | facts)


def succeed(task: Task, *, lease: int | None = None, now: datetime = NOW, **facts: Any) -> None:
    """End the task with its audio."""
    audio = {"object_key": f"audio-{task.id}.wav", "size": 8, "duration": 2.5}
    task.succeed(lease or task.lease, now=now, **audio | facts)


def fail(
    task: Task,
    code: str = "network",
    step: str = "poll",
    *,
    message: str = "connection reset",
    permanent: bool = False,
    now: datetime = NOW,
    **lists: Any,
) -> None:
    """End the task, which a worker has claimed first, without a result."""
    if not task.claimed:
        task.claim(worker="w1", now=now)
    task.fail(task.lease, GiveUp(TaskError(code, step, message), permanent, **lists), now=now)


# --- as far as


def bring(
    task: Task, status: Status, segment: int = 0, *, worker: str = "w1", now: datetime = NOW
) -> int:
    """Have happen what is still missing until the segment (and the task) has come to ``status``.

    Returns the lease of the worker that has the task.
    """
    state = task.segments[segment]
    way: list[tuple[Status, Callable[[], bool], Callable[[], object]]] = [
        (Status.QUEUED, lambda: task.unqueued, lambda: task.queue(now=now)),
        (Status.DEQUEUED, lambda: not task.claimed, lambda: task.claim(worker=worker, now=now)),
        (
            Status.PROCESSING,
            lambda: state.intent_at is None and state.prediction_id is None,
            lambda: start(task, segment, now=now),
        ),
        (
            Status.PREDICTION_CREATED,
            lambda: state.prediction_id is None,
            lambda: record(task, segment, now=now),
        ),
        (
            Status.DOWNLOADING,
            lambda: state.output_url is None,
            lambda: download(task, segment, now=now),
        ),
        (
            Status.DOWNLOAD_COMPLETE,
            lambda: not state.downloaded,
            lambda: complete(task, segment, now=now),
        ),
        (Status.SUCCEEDED, lambda: not task.final, lambda: succeed(task, now=now)),
    ]
    for reached, is_missing, command in way:
        if is_missing():
            command()
        if reached is status:
            return task.lease
    raise ValueError(f"{status} is not on the way to an audio")


async def brought(app: Application, task_id: UUID, status: Status, *, worker: str = "w1") -> Task:
    """The task in the log, which the commands of :func:`bring` are appended to at once."""
    now = app.now()
    task, _ = await app.change(task_id, lambda task: bring(task, status, worker=worker, now=now))
    return task


async def failed(app: Application, task_id: UUID, *error: str, **more: Any) -> Task:
    """The task in the log, with a claim and the failure (see :func:`fail`) appended."""
    task, _ = await app.change(task_id, lambda task: fail(task, *error, now=app.now(), **more))
    return task
