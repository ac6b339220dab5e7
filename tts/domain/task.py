"""The Task aggregate: what may happen to one request for speech, and in what order.

Commands guard and then trigger; an event's ``apply`` only assigns, because it also runs at replay,
where a guard tightened later would break old streams. Nothing here does I/O: ids, times and every
other non-deterministic value are passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Unpack
from uuid import UUID

from eventsourcing.domain import Aggregate

from tts.domain import events
from tts.domain.errors import LeaseLost, TaskErased, TransitionRefused
from tts.domain.naming import object_key, part_key
from tts.domain.values import FINAL, AudioFormat, GiveUp, RetryLater, Segment, Status, TaskError


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

    def __init__(self, requested: events.Requested) -> None:
        self.status = Status.STARTING
        self.template_id = requested.template_id
        self.text_hash = requested.text_hash
        self.text_length = requested.text_length
        self.segments = [Segment(start, end) for start, end in requested.segments]
        self.owner = requested.owner
        self.max_attempts = requested.max_attempts
        self.deadline_at = requested.deadline_at
        self.idempotency_key = requested.idempotency_key
        self.priority = requested.priority
        self.cleanup = requested.cleanup
        self.audio_suffix = requested.audio_suffix
        self.callback_url = requested.callback_url
        self.asked_format = requested.audio_format
        self.audio_format = (
            requested.audio_format or requested.default_format or AudioFormat.WAV.value
        )
        self.traceparent = requested.traceparent
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
    def audio_key(self) -> str:
        """Where its audio is to be stored."""
        return object_key(self.id, self.audio_suffix, self.audio_format)

    def part_key(self, segment: int) -> str:
        """Where the audio of a segment is to be stored, if there are several."""
        return part_key(self.id, self.audio_suffix, segment)

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
    def spoken(self) -> bool:
        """Whether each segment has a prediction, so that nothing new is to be paid for."""
        return all(segment.prediction_id is not None for segment in self.segments)

    @property
    def predictions(self) -> int:
        """Creations decided on so far, over all segments: what may have been paid."""
        return sum(segment.creations for segment in self.segments)

    # --- commands

    @classmethod
    def requested(
        cls,
        *,
        id: UUID,  # noqa: A002 -- eventsourcing's name for the aggregate's id
        now: datetime,
        **facts: Unpack[events.RequestedFacts],
    ) -> events.Requested:
        """The event that begins a task: all that is needed to accept one."""
        return cls.Requested.of(
            {
                "originator_id": id,
                "originator_version": cls.INITIAL_VERSION,
                "timestamp": now,
                "originator_topic": cls.TOPIC,
                **facts,
            }
        )

    @classmethod
    def request(
        cls,
        *,
        id: UUID,  # noqa: A002 -- eventsourcing's name for the aggregate's id
        now: datetime,
        **facts: Unpack[events.RequestedFacts],
    ) -> Task:
        """A new task."""
        requested = cls.requested(id=id, now=now, **facts)
        task: Task = requested.mutate(None)
        task.pending_events.append(requested)
        return task

    def queue(self, *, now: datetime) -> None:
        """The broker has the message that asks for this round."""
        self._require("queue", self.unqueued and not self.cancel_requested, "already queued")
        self._trigger(self.Queued, now)

    def claim(self, *, worker: str, now: datetime) -> int:
        """Take the task over and return the new lease; every earlier lease is fenced from here on.

        A delivery proves that the message was confirmed, so a ``Queued`` that the relay has not
        appended yet is appended here: the statuses keep their order. Whether a retry is due is not
        asked: the broker has measured its wait, and the clocks of two machines may differ.
        """
        self._require("claim", not self.final, "it is over")
        self._require("claim", not self.cancel_requested, "it is being canceled")
        kind: type[events.RetryStarted | events.Dequeued] = self.Dequeued
        if self.due_at is not None:
            kind = self.RetryStarted
        elif self.unqueued:
            self.queue(now=now)
        self._trigger(kind, now, worker=worker, lease=self.lease + 1)
        return self.lease

    def start_processing(
        self, lease: int, *, now: datetime, **facts: Unpack[events.ProcessingStartedFacts]
    ) -> None:
        """Record the intent to create one prediction for each of the segments.

        It must be in the log before the request leaves, so that a crash in between can be told from
        one before it. An open intent may be renewed by the lease that holds it, or by a later one
        that has made sure that nothing was created.
        """
        self._require_lease("start_processing", lease)
        for index in facts["segments"]:
            self._require(
                "start_processing",
                self.segments[index].prediction_id is None,
                f"segment {index} has prediction {self.segments[index].prediction_id}",
            )
        self._trigger(self.ProcessingStarted, now, **facts)

    def record_prediction(
        self, lease: int, *, now: datetime, **facts: Unpack[events.PredictionCreatedFacts]
    ) -> None:
        """Replicate has a prediction for the segment.

        It is recorded while the task is being canceled too, so that it can be canceled upstream.
        """
        self._require_lease("record_prediction", lease, even_canceling=True)
        segment = self.segments[facts["segment"]]
        self._require("record_prediction", segment.intent_at is not None, "no intent to create")
        self._trigger(self.PredictionCreated, now, **facts)

    def start_download(
        self, lease: int, *, now: datetime, **facts: Unpack[events.DownloadStartedFacts]
    ) -> None:
        """The prediction succeeded, and its output has an address."""
        self._require_lease("start_download", lease)
        segment = self.segments[facts["segment"]]
        self._require("start_download", segment.prediction_id is not None, "no prediction")
        self._trigger(self.DownloadStarted, now, **facts)

    def complete_download(
        self, lease: int, *, now: datetime, **facts: Unpack[events.DownloadCompletedFacts]
    ) -> None:
        """The output is whole."""
        self._require_lease("complete_download", lease)
        segment = self.segments[facts["segment"]]
        self._require("complete_download", segment.output_url is not None, "not started")
        self._trigger(self.DownloadCompleted, now, **facts)

    def succeed(self, lease: int, *, now: datetime, **facts: Unpack[events.SucceededFacts]) -> None:
        """The audio is stored."""
        self._require_lease("succeed", lease)
        self._require("succeed", all(s.downloaded for s in self.segments), "a segment is missing")
        self._trigger(
            self.Succeeded,
            now,
            predict_time=sum(segment.predict_time or 0.0 for segment in self.segments),
            predictions=self.predictions,
            suspects=[i for i, segment in enumerate(self.segments) if segment.suspect] or None,
            **facts,
        )

    def schedule_retry(self, lease: int, later: RetryLater, *, now: datetime) -> None:
        """End this attempt; the number of the next one is the same if none was used up."""
        self._require_lease("schedule_retry", lease)
        self._require(
            "schedule_retry",
            self.attempt <= later.attempt <= self.max_attempts,
            f"attempt {later.attempt} is not between {self.attempt} and {self.max_attempts}",
        )
        due_at = now + timedelta(seconds=later.delay)
        self._trigger(self.RetryScheduled, now, due_at=due_at, **_flat(later))

    def fail(self, lease: int, gave_up: GiveUp, *, now: datetime) -> None:
        """End the task without a result, until somebody asks for a retry."""
        self._require_lease("fail", lease)
        self._trigger(self.Failed, now, **_flat(gave_up))

    def request_retry(self, *, by: str, reason: str, deadline_at: datetime, now: datetime) -> None:
        """Give a failed task another round; what was paid for and is still there is used again."""
        self._require("request_retry", self.status is Status.FAILED, "it has not failed")
        if self.erased_at is not None:
            raise TaskErased(self.id)
        self._trigger(self.RetryRequested, now, by=by, reason=reason, deadline_at=deadline_at)

    def dismiss(self, *, by: str, reason: str, now: datetime) -> None:
        """Take a failed task off the dead letters; it stays failed, and can still be retried."""
        self._require("dismiss", self.status is Status.FAILED, "it has not failed")
        if self.erased_at is not None:
            raise TaskErased(self.id)
        self._require("dismiss", self.dismissed_at is None, "already dismissed")
        self._trigger(self.Dismissed, now, by=by, reason=reason)

    def request_cancel(self, *, by: str, reason: str, now: datetime) -> None:
        """Ask for the end of the task; one that nothing runs for ends at once."""
        self._require("request_cancel", not self.final, "it is over")
        self._require("request_cancel", not self.cancel_requested, "it is being canceled")
        idle = self.unqueued or self.status in {Status.QUEUED, Status.WAITING_RETRY}
        self._trigger(self.CancelRequested, now, by=by, reason=reason)
        if idle and not self.running_upstream:
            self.confirm_cancel(now=now)

    def confirm_cancel(self, *, now: datetime) -> None:
        """Nothing runs upstream any more: the task is over."""
        self._require("confirm_cancel", self.cancel_requested and not self.final, "nobody asked")
        self._trigger(self.Canceled, now, by=self.cancel_by, reason=self.cancel_reason)

    def erase(self, *, by: str, now: datetime) -> None:
        """Give up what was said and spoken, once nothing runs; there is no way back."""
        self._require("erase", self.final, "it is not over")
        self._require("erase", self.erased_at is None, "already erased")
        self._trigger(self.Erased, now, by=by, status=self.status.value)

    def _trigger(self, kind: type[events.Event], now: datetime, **facts: Any) -> None:
        """Have the event happen; what it names of the task itself is filled in."""
        own = ("attempt", self.attempt), ("total", len(self.segments))
        for name, fact in (*own, ("callback_url", self.callback_url)):
            if name in kind.__dataclass_fields__:
                facts.setdefault(name, fact)
        self.trigger_event(kind, timestamp=now, **facts)

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


def _flat(decision: RetryLater | GiveUp) -> dict[str, Any]:
    """The decision as an event has it, where the error's fields stand among the others."""
    fields = {**vars(decision), **vars(decision.error)}
    del fields["error"]
    return fields
