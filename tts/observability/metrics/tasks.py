"""What becomes of tasks, and how long it takes them by the times of their events.

Each process counts what it has appended itself. So every event counts once, whoever leads and
however many processes there are. Most is a processor's; a task that waits is ended by whoever
cancels it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from eventsourcing.persistence import StoredEvent
from prometheus_client import Counter, Histogram

from tts.domain.failures import TABLE
from tts.domain.task import Task
from tts.domain.values import Priority
from tts.observability.metrics.registries import PROCESS, PROCESSOR
from tts.ports.log import Recorded
from tts.ports.tracing import NO_TRACING, Tracing
from tts.processor.resources import Witness

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1500)
OUTCOMES = {
    Task.Succeeded.TOPIC: "succeeded",
    Task.Failed.TOPIC: "failed",
    Task.Canceled.TOPIC: "canceled",
}
ROUNDS = frozenset({Task.Requested.TOPIC, Task.RetryRequested.TOPIC})
# From which event of a segment to which one a stage lasts.
STAGES = {
    Task.PredictionCreated.TOPIC: ("create", Task.ProcessingStarted.TOPIC),
    Task.DownloadStarted.TOPIC: ("predict", Task.PredictionCreated.TOPIC),
    Task.DownloadCompleted.TOPIC: ("download", Task.DownloadStarted.TOPIC),
}

FINISHED = Counter(
    "tts_tasks_finished_total", "Tasks that this process has ended.", ["outcome"], registry=PROCESS
)
FAILED = Counter(
    "tts_tasks_failed_total", "Tasks that failed, by error code.", ["code"], registry=PROCESSOR
)
RETRIES = Counter(
    "tts_retries_total",
    "Attempts that ended with a retry, by error code.",
    ["code"],
    registry=PROCESSOR,
)
TASK_SECONDS = Histogram(
    "tts_task_seconds",
    "From the request, or a person's retry, to the end of a task that a processor had.",
    ["outcome"],
    buckets=SECONDS,
    registry=PROCESSOR,
)
QUEUE_SECONDS = Histogram(
    "tts_queue_wait_seconds",
    "From the request, or a person's retry, until a processor took the task up.",
    ["priority"],
    buckets=SECONDS,
    registry=PROCESSOR,
)
STAGE_SECONDS = Histogram(
    "tts_stage_seconds",
    "Time that a segment spent in a stage; `store` is from the last download to the success.",
    ["stage"],
    buckets=SECONDS,
    registry=PROCESSOR,
)
FIRST_AUDIO_SECONDS = Histogram(
    "tts_first_audio_seconds",
    "From the request, or a person's retry, until something could be heard.",
    buckets=SECONDS,
    registry=PROCESSOR,
)
PREDICTIONS = Counter("tts_predictions_total", "Predictions created.", registry=PROCESSOR)
PREDICT_SECONDS = Counter(
    "tts_predict_seconds_total",
    "Seconds of predictions, as Replicate bills them.",
    registry=PROCESSOR,
)
AUDIO_SECONDS = Counter(
    "tts_audio_seconds_total", "Seconds of audio of tasks that succeeded.", registry=PROCESSOR
)

for _outcome in OUTCOMES.values():
    FINISHED.labels(_outcome)
    TASK_SECONDS.labels(_outcome)
for _code in sorted({code for code, _ in TABLE}):
    FAILED.labels(_code)
    RETRIES.labels(_code)
for _priority in Priority:
    QUEUE_SECONDS.labels(_priority.value)
for _stage in (*(stage for stage, _ in STAGES.values()), "store"):
    STAGE_SECONDS.labels(_stage)


def witness(history: Sequence[Recorded], tracing: Tracing = NO_TRACING) -> Witness:
    """Watches one run of a task with that history; its trace notes what happens."""
    run = _Run()
    for event in history:
        run.see(event.topic, orjson.loads(event.state))

    def see(events: Sequence[StoredEvent]) -> None:
        for event in events:
            state = orjson.loads(event.state)
            tracing.note(event.topic)
            run.count(event.topic, state)
            run.see(event.topic, state)

    return see


def observe_command(events: Sequence[StoredEvent]) -> None:
    """Count what the events of a person's command end."""
    for event in events:
        if event.topic in OUTCOMES:
            FINISHED.labels(OUTCOMES[event.topic]).inc()


class _Run:
    """When what has happened last to a task and to its segments; seconds since 1970."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._priority: str = Priority.NORMAL.value
        self._taken = False
        self._heard = False
        self._billed: set[int] = set()
        self._last: dict[tuple[str, int], float] = {}

    def see(self, topic: str, state: Mapping[str, Any]) -> None:
        """Remember an event."""
        if "timestamp" not in state:  # one of a newer version may have none
            return
        at = _seconds(state)
        self._heard = self._heard or _can_be_heard(topic, state)
        if topic in ROUNDS:
            self._began, self._taken, self._heard = at, False, False
            self._priority = state.get("priority", self._priority)
        elif topic == Task.Dequeued.TOPIC:
            self._taken = True
        elif topic == Task.DownloadStarted.TOPIC:
            self._billed.add(state["segment"])
        elif topic == Task.PredictionCreated.TOPIC:
            self._billed.discard(state["segment"])
        for segment in state.get("segments", ()) if topic == Task.ProcessingStarted.TOPIC else ():
            self._last[topic, segment] = at
        if "segment" in state:
            self._last[topic, state["segment"]] = at

    def count(self, topic: str, state: Mapping[str, Any]) -> None:
        """Count an event that has just been appended, before it is seen."""
        at = _seconds(state)
        took = max(at - self._began, 0.0) if self._began is not None else None
        if topic == Task.Dequeued.TOPIC and took is not None and not self._taken:
            QUEUE_SECONDS.labels(self._priority).observe(took)
        self._count_stage(topic, state, at)
        if took is not None and not self._heard and _can_be_heard(topic, state):
            FIRST_AUDIO_SECONDS.observe(took)
        if topic == Task.RetryScheduled.TOPIC:
            RETRIES.labels(state["code"]).inc()
        elif topic in OUTCOMES:
            self._count_end(topic, state, took)

    def _count_stage(self, topic: str, state: Mapping[str, Any], at: float) -> None:
        stage, since = STAGES.get(topic, ("", ""))
        if stage and (began := self._last.get((since, state["segment"]))) is not None:
            STAGE_SECONDS.labels(stage).observe(max(at - began, 0.0))
        if topic == Task.PredictionCreated.TOPIC:
            PREDICTIONS.inc()
        elif topic == Task.DownloadStarted.TOPIC and state["segment"] not in self._billed:
            PREDICT_SECONDS.inc(state["predict_time"] or 0.0)

    def _count_end(self, topic: str, state: Mapping[str, Any], took: float | None) -> None:
        outcome = OUTCOMES[topic]
        FINISHED.labels(outcome).inc()
        if took is not None:
            TASK_SECONDS.labels(outcome).observe(took)
        if topic == Task.Failed.TOPIC:
            FAILED.labels(state["code"]).inc()
        elif topic == Task.Succeeded.TOPIC:
            AUDIO_SECONDS.inc(state["duration"] or 0.0)
            downloads = [
                at for (t, _), at in self._last.items() if t == Task.DownloadCompleted.TOPIC
            ]
            if downloads:
                STAGE_SECONDS.labels("store").observe(max(_seconds(state) - max(downloads), 0.0))


def _can_be_heard(topic: str, state: Mapping[str, Any]) -> bool:
    """Whether it brings audio: a part of a long text, or the whole."""
    part = topic == Task.DownloadCompleted.TOPIC and state.get("part") is not None
    return part or topic == Task.Succeeded.TOPIC


def _seconds(state: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(state["timestamp"]).timestamp()
