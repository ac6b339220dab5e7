"""Random but lawful lives of tasks, for tests of what reads the log."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from eventsourcing.persistence import Mapper, StoredEvent

from tests.builders import NOW as START
from tests.builders import complete, download, record, start, succeed
from tts.domain.errors import DomainError
from tts.domain.task import Task
from tts.domain.values import GiveUp, RetryLater, TaskError
from tts.transcoder import OrjsonTranscoder

STATUSES_OF_SPEECH = [  # in order, where nothing goes wrong
    "starting",
    "queued",
    "dequeued",
    "processing",
    "prediction_created",
    "downloading",
    "download_complete",
    "succeeded",
]
MAPPER: Mapper[UUID] = Mapper(OrjsonTranscoder())


def stored(task: Task) -> list[StoredEvent]:
    """Take the task's new events as they are appended."""
    return [MAPPER.to_stored_event(event) for event in task.collect_events()]


def new_task(
    random: Random,
    *,
    now: datetime = START,
    owner: str = "",
    template_id: str = "t1",
    segments: int = 1,
    max_attempts: int = 3,
) -> Task:
    """A task that was just requested."""
    return Task.request(
        id=UUID(int=random.getrandbits(128), version=4),
        template_id=template_id,
        text_hash="0" * 32,
        text_length=10 * segments,
        segments=[[10 * n, 10 * n + 10] for n in range(segments)],
        owner=owner,
        max_attempts=max_attempts,
        deadline_at=now + timedelta(hours=1),
        idempotency_key=None,
        now=now,
    )


def live(task: Task, random: Random, *, steps: int) -> Task:
    """Have ``steps`` commands drawn at random happen to the task; refused ones change nothing.

    Time passes in between, so that delays end; steps that lead on are likelier than setbacks.
    """
    now = task.modified_on
    for _ in range(steps):
        now += timedelta(seconds=random.choice([0, 0.001, 1, 30]))
        command = random.choice([_advance] * 6 + [_setback, _person])
        with contextlib.suppress(DomainError):
            command(task, random, now)
    return task


def _advance(task: Task, random: Random, now: datetime) -> None:
    """The next thing that a relay or a processor would do."""
    if task.cancel_requested:
        task.confirm_cancel(now=now)
    elif task.unqueued:
        task.queue(now=now)
    elif not task.claimed:
        task.claim(worker=f"w{random.randrange(3)}", now=now)
    else:
        _work(task, random, now)


def _work(task: Task, random: Random, now: datetime) -> None:
    for index, segment in enumerate(task.segments):
        if segment.downloaded:
            continue
        if segment.prediction_id is None and segment.intent_at is None:
            start(task, index, now=now)
        elif segment.prediction_id is None:
            prediction_id, is_found = f"p{random.getrandbits(40):010x}", random.random() < 0.1
            record(task, index, now=now, prediction_id=prediction_id, found=is_found)
        elif segment.output_url is None:
            download(task, index, now=now, predict_time=random.choice([None, 1.5]))
        else:
            complete(task, index, now=now)
        return
    succeed(task, now=now)


def _setback(task: Task, random: Random, now: datetime) -> None:
    """A failure, or a second claim as after the first worker's death."""
    error = TaskError("network", "poll", "connection reset")
    abandoned = [n for n in range(len(task.segments)) if random.random() < 0.3]
    settled = [0] if random.random() < 0.7 else []
    match random.randrange(3):
        case 0:
            task.claim(worker="w9", now=now)
        case 1:
            attempt = task.attempt + random.randrange(2)
            later = RetryLater(error, attempt, delay=5.0, abandoned=abandoned, settled=settled)
            task.schedule_retry(task.lease, later, now=now)
        case _:
            permanent = random.random() < 0.5
            task.fail(task.lease, GiveUp(error, permanent, abandoned, settled), now=now)


def _person(task: Task, random: Random, now: datetime) -> None:
    """A retry by hand or a dismissal, or rarely a cancellation."""
    if task.final and random.random() < 0.3:
        task.dismiss(by="someone", reason="known", now=now)
    elif task.final:
        task.request_retry(
            by="someone", reason="again", deadline_at=now + timedelta(hours=1), now=now
        )
    elif random.random() < 0.3:
        task.request_cancel(by="someone", reason="enough", now=now)
