"""The Task aggregate: what may happen to one request for speech, and in what order.

Commands guard and then trigger; an event's ``apply`` only assigns, because it also runs at replay,
where a guard tightened later would break old streams. Nothing here does I/O: ids, times and every
other non-deterministic value are passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from eventsourcing.domain import Aggregate

from tts.domain import events
from tts.domain.errors import LeaseLost, TaskErased, TransitionRefused
from tts.domain.values import FINAL, Priority, Segment, Status, TaskError


class Task(Aggregate):
    """One request for speech, from ``Requested`` to exactly one final status at a time.

    >>> task = Task.request(id=task_id, template_id="t1", ..., now=now)
    >>> task.queue(now=now); task.claim(worker="w1", now=now)
    """

    TOPIC = "tts.task"

    # --- events, in the order of the catalogue

    Event = events.Event
    Created = events.Created
    Requested = events.Requested
    Queued = events.Queued
    Dequeued = events.Dequeued
    ProcessingStarted = events.ProcessingStarted
    PredictionCreated = events.PredictionCreated
    DownloadStarted = events.DownloadStarted
    DownloadCompleted = events.DownloadCompleted
    Succeeded = events.Succeeded
    RetryScheduled = events.RetryScheduled
    RetryStarted = events.RetryStarted
    RetryRequested = events.RetryRequested
    Failed = events.Failed
    Dismissed = events.Dismissed
    CancelRequested = events.CancelRequested
    Canceled = events.Canceled
    Erased = events.Erased

    # --- state

    def __init__(
        self,
        template_id: str,
        text_hash: str,
        text_length: int,
        segments: list[list[int]],
        owner: str,
        max_attempts: int,
        deadline_at: datetime,
        idempotency_key: str | None,
        priority: str = Priority.NORMAL.value,
    ) -> None:
        self.status = Status.STARTING
        self.template_id = template_id
        self.text_hash = text_hash
        self.text_length = text_length
        self.segments = [Segment(start, end) for start, end in segments]
        self.owner = owner
        self.max_attempts = max_attempts
        self.deadline_at = deadline_at
        self.idempotency_key = idempotency_key
        self.priority = priority
        self.attempt = 1
        self.lease = 0
        self.worker: str | None = None
        self.audio_url: str | None = None
        self.unqueued = True
        self.claimed = False
        self.due_at: datetime | None = None
        self.error: TaskError | None = None
        self.repeats = 0  # how often in a row an attempt has ended with this code at this step
        self.cancel_by: str | None = None
        self.cancel_reason = ""
        self.object_key: str | None = None
        self.size: int | None = None
        self.duration: float | None = None
        self.completed_at: datetime | None = None
        self.dismissed_at: datetime | None = None
        self.erased_at: datetime | None = None

    @property
    def final(self) -> bool:
        """Whether the task is over (a failed one can still be asked for again)."""
        return self.status in FINAL

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked for the end of the task."""
        return self.cancel_by is not None

    @property
    def running_upstream(self) -> bool:
        """Whether a prediction may be running whose output has not been seen yet."""
        return any(
            segment.intent_at is not None
            or (segment.prediction_id is not None and segment.output_url is None)
            for segment in self.segments
        )

    @property
    def predictions(self) -> int:
        """Creations decided on so far, over all segments: what may have been paid."""
        return sum(segment.creations for segment in self.segments)

    # --- commands

    @classmethod
    def request(
        cls,
        *,
        id: UUID,  # noqa: A002 -- eventsourcing's name for the aggregate's id
        template_id: str,
        text_hash: str,
        text_length: int,
        segments: list[list[int]],
        owner: str,
        max_attempts: int,
        deadline_at: datetime,
        idempotency_key: str | None,
        now: datetime,
        priority: str = Priority.NORMAL.value,
    ) -> Task:
        """A new task; ``segments`` are ``[start, end)`` ranges that cover the text."""
        requested = cls.Requested(  # type: ignore[call-arg] # the metaclass's dataclass is unseen
            originator_topic=cls.TOPIC,
            originator_id=id,
            originator_version=cls.INITIAL_VERSION,
            timestamp=now,
            template_id=template_id,
            text_hash=text_hash,
            text_length=text_length,
            segments=segments,
            owner=owner,
            max_attempts=max_attempts,
            deadline_at=deadline_at,
            idempotency_key=idempotency_key,
            priority=priority,
        )
        task: Task = requested.mutate(None)
        task.pending_events.append(requested)
        return task

    def queue(self, *, now: datetime) -> None:
        """The broker has the message that asks for this round."""
        self._require("queue", self.unqueued and not self.cancel_requested, "already queued")
        self.trigger_event(self.Queued, timestamp=now, attempt=self.attempt)

    def claim(self, *, worker: str, now: datetime) -> int:
        """Take the task over and return the new lease; every earlier lease is fenced from here on.

        A delivery proves that the message was confirmed, so a ``Queued`` that the relay has not
        appended yet is appended here: the statuses keep their order.
        """
        self._require("claim", not self.final, "it is over")
        self._require("claim", not self.cancel_requested, "it is being canceled")
        kind: type[events.RetryStarted | events.Dequeued] = self.Dequeued
        if self.due_at is not None:
            self._require("claim", now >= self.due_at, f"not due before {self.due_at.isoformat()}")
            kind = self.RetryStarted
        elif self.unqueued:
            self.queue(now=now)
        self.trigger_event(
            kind, timestamp=now, attempt=self.attempt, worker=worker, lease=self.lease + 1
        )
        return self.lease

    def start_processing(
        self,
        *,
        lease: int,
        transcript_hash: str,
        audio_url: str,
        audio_etag: str | None,
        segments: list[int],
        now: datetime,
    ) -> None:
        """Record the intent to create one prediction for each of ``segments``.

        It must be in the log before the request leaves, so that a crash in between can be told from
        one before it. An open intent may be renewed by the lease that holds it, or by a later one
        that has made sure that nothing was created.
        """
        self._require_lease("start_processing", lease)
        for index in segments:
            self._require(
                "start_processing",
                self.segments[index].prediction_id is None,
                f"segment {index} has prediction {self.segments[index].prediction_id}",
            )
        self.trigger_event(
            self.ProcessingStarted,
            timestamp=now,
            attempt=self.attempt,
            transcript_hash=transcript_hash,
            audio_url=audio_url,
            audio_etag=audio_etag,
            segments=segments,
            total=len(self.segments),
        )

    def record_prediction(
        self,
        *,
        lease: int,
        segment: int,
        prediction_id: str,
        model_version: str,
        found: bool,
        now: datetime,
    ) -> None:
        """Replicate has a prediction for the segment; ``found`` if the list told so.

        It is recorded while the task is being canceled too, so that it can be canceled upstream.
        """
        self._require_lease("record_prediction", lease, even_canceling=True)
        self._require(
            "record_prediction", self.segments[segment].intent_at is not None, "no intent to create"
        )
        self.trigger_event(
            self.PredictionCreated,
            timestamp=now,
            attempt=self.attempt,
            segment=segment,
            prediction_id=prediction_id,
            model_version=model_version,
            found=found,
            total=len(self.segments),
        )

    def start_download(
        self,
        *,
        lease: int,
        segment: int,
        predict_time: float | None,
        output_url: str,
        now: datetime,
    ) -> None:
        """The prediction succeeded; ``predict_time`` in seconds as Replicate bills it."""
        self._require_lease("start_download", lease)
        self._require(
            "start_download", self.segments[segment].prediction_id is not None, "no prediction"
        )
        self.trigger_event(
            self.DownloadStarted,
            timestamp=now,
            attempt=self.attempt,
            segment=segment,
            predict_time=predict_time,
            output_url=output_url,
            total=len(self.segments),
        )

    def complete_download(
        self,
        *,
        lease: int,
        segment: int,
        size: int,
        sha256: str,
        duration: float | None,
        part: str | None = None,
        suspect: bool = False,
        now: datetime,
    ) -> None:
        """The output is whole: ``size`` in bytes, ``duration`` in seconds, ``part`` its key."""
        self._require_lease("complete_download", lease)
        self._require(
            "complete_download", self.segments[segment].output_url is not None, "not started"
        )
        self.trigger_event(
            self.DownloadCompleted,
            timestamp=now,
            attempt=self.attempt,
            segment=segment,
            size=size,
            sha256=sha256,
            duration=duration,
            part=part,
            suspect=suspect,
            total=len(self.segments),
        )

    def succeed(
        self, *, lease: int, object_key: str, size: int, duration: float | None, now: datetime
    ) -> None:
        """The audio is stored: ``size`` in bytes, ``duration`` in seconds."""
        self._require_lease("succeed", lease)
        self._require("succeed", all(s.downloaded for s in self.segments), "a segment is missing")
        self.trigger_event(
            self.Succeeded,
            timestamp=now,
            attempt=self.attempt,
            object_key=object_key,
            size=size,
            duration=duration,
            predict_time=sum(segment.predict_time or 0.0 for segment in self.segments),
            predictions=self.predictions,
            suspects=[i for i, segment in enumerate(self.segments) if segment.suspect] or None,
        )

    def schedule_retry(
        self,
        *,
        lease: int,
        error: TaskError,
        attempt: int,
        delay: float,
        abandoned: list[int],
        settled: list[int],
        suspected: list[int] | None = None,
        now: datetime,
    ) -> None:
        """End this attempt; the next one is due ``delay`` seconds from ``now``.

        ``attempt`` is its number: the same if none was used up.
        """
        self._require_lease("schedule_retry", lease)
        self._require(
            "schedule_retry",
            self.attempt <= attempt <= self.max_attempts,
            f"attempt {attempt} is not between {self.attempt} and {self.max_attempts}",
        )
        self.trigger_event(
            self.RetryScheduled,
            timestamp=now,
            attempt=attempt,
            code=error.code,
            step=error.step,
            message=error.message,
            delay=delay,
            due_at=now + timedelta(seconds=delay),
            abandoned=abandoned,
            settled=settled,
            suspected=suspected,
        )

    def fail(
        self,
        *,
        lease: int,
        error: TaskError,
        permanent: bool,
        abandoned: list[int],
        settled: list[int],
        now: datetime,
    ) -> None:
        """End the task without a result, until somebody asks for a retry."""
        self._require_lease("fail", lease)
        self.trigger_event(
            self.Failed,
            timestamp=now,
            attempt=self.attempt,
            code=error.code,
            step=error.step,
            message=error.message,
            permanent=permanent,
            abandoned=abandoned,
            settled=settled,
        )

    def request_retry(self, *, by: str, reason: str, deadline_at: datetime, now: datetime) -> None:
        """Give a failed task another round; what was paid for and is still there is used again."""
        self._require("request_retry", self.status is Status.FAILED, "it has not failed")
        if self.erased_at is not None:
            raise TaskErased(self.id)
        self.trigger_event(
            self.RetryRequested, timestamp=now, by=by, reason=reason, deadline_at=deadline_at
        )

    def dismiss(self, *, by: str, reason: str, now: datetime) -> None:
        """Take a failed task off the dead letters; it stays failed, and can still be retried."""
        self._require("dismiss", self.status is Status.FAILED, "it has not failed")
        if self.erased_at is not None:
            raise TaskErased(self.id)
        self._require("dismiss", self.dismissed_at is None, "already dismissed")
        self.trigger_event(self.Dismissed, timestamp=now, by=by, reason=reason)

    def request_cancel(self, *, by: str, reason: str, now: datetime) -> None:
        """Ask for the end of the task; one that nothing runs for ends at once."""
        self._require("request_cancel", not self.final, "it is over")
        self._require("request_cancel", not self.cancel_requested, "it is being canceled")
        idle = self.unqueued or self.status in {Status.QUEUED, Status.WAITING_RETRY}
        self.trigger_event(self.CancelRequested, timestamp=now, by=by, reason=reason)
        if idle and not self.running_upstream:
            self.confirm_cancel(now=now)

    def confirm_cancel(self, *, now: datetime) -> None:
        """Nothing runs upstream any more: the task is over."""
        self._require("confirm_cancel", self.cancel_requested and not self.final, "nobody asked")
        self.trigger_event(
            self.Canceled, timestamp=now, by=self.cancel_by, reason=self.cancel_reason
        )

    def erase(self, *, by: str, now: datetime) -> None:
        """Give up what was said and spoken, once nothing runs; there is no way back."""
        self._require("erase", self.final, "it is not over")
        self._require("erase", self.erased_at is None, "already erased")
        self.trigger_event(self.Erased, timestamp=now, by=by, status=self.status.value)

    # --- guards

    def _require(self, command: str, allowed: bool, why: str) -> None:  # noqa: FBT001
        if not allowed:
            raise TransitionRefused(command, self.id, self.status, why)

    def _require_lease(self, command: str, lease: int, *, even_canceling: bool = False) -> None:
        self._require(command, not self.final, "it is over")
        if lease != self.lease:
            raise LeaseLost(self.id, held=self.lease, shown=lease)
        self._require(command, even_canceling or not self.cancel_requested, "it is being canceled")
        self._require(command, self.claimed, "nobody has claimed this round")
