# ruff: noqa: D102 -- the names of the rules and invariants say it
"""No sequence of commands breaks what the task promises: workers, relay and gateway at random."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import orjson
from eventsourcing.persistence import StoredEvent
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from projections.tasks import TASKS, change
from tests.histories import MAPPER, START, new_task, stored
from tts.domain.errors import DomainError, LeaseLost
from tts.domain.task import Task
from tts.domain.values import GiveUp, RetryLater, Status, TaskError
from tts.ports.log import Recorded
from tts.wire import status_of, task_answer

WORKERS = 3
SEGMENTS = 2
MAX_ATTEMPTS = 3
ERRORS = [TaskError("network", "poll", "reset"), TaskError("nsfw", "create", "refused")]
CLAIMS = {Task.Dequeued.TOPIC, Task.RetryStarted.TOPIC}
OF_A_LEASE = {
    Task.ProcessingStarted.TOPIC,
    Task.PredictionCreated.TOPIC,
    Task.DownloadStarted.TOPIC,
    Task.DownloadCompleted.TOPIC,
    Task.Succeeded.TOPIC,
    Task.RetryScheduled.TOPIC,
    Task.Failed.TOPIC,
}
FINAL_TOPICS = {Task.Succeeded.TOPIC, Task.Failed.TOPIC, Task.Canceled.TOPIC}
AFTERWARDS = {Task.Dismissed.TOPIC, Task.Erased.TOPIC}

workers = st.integers(0, WORKERS - 1)
segments = st.integers(0, SEGMENTS - 1)
some_segments = st.lists(segments, unique=True)
seconds = st.sampled_from([0.0, 0.000001, 1.0, 60.0])


@dataclass
class Worker:
    """A processor: its copy of the task, perhaps stale, and the lease that it believes to hold."""

    name: str
    task: Task
    lease: int = 0


class TaskLife(RuleBasedStateMachine):
    """The log, as everybody appends to it with optimistic concurrency."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.task = new_task(Random(0), segments=SEGMENTS, max_attempts=MAX_ATTEMPTS)
        self.log: list[StoredEvent] = stored(self.task)
        self.workers = [Worker(f"w{n}", self.load()) for n in range(WORKERS)]
        self.lease_holder: Worker | None = None

    def load(self) -> Task:
        task = None
        for event in self.log:
            task = MAPPER.to_domain_event(event).mutate(task)
        assert isinstance(task, Task)
        return task

    def append(self, events: list[StoredEvent]) -> bool:
        """What a store does: all of them, or none when somebody else was first."""
        if events and events[0].originator_version != len(self.log) + 1:
            return False
        self.log += events
        return True

    def work(self, worker: Worker, command) -> bool:
        """As a processor does: command the copy it has, and a fresh one after a conflict."""
        for _ in range(2):
            try:
                command(worker.task)
                events = stored(worker.task)
            except LeaseLost:
                assert worker is not self.lease_holder, "the holder of the lease was fenced"
                worker.task = self.load()
                return False
            except DomainError:
                worker.task = self.load()
                return False
            if self.append(events):
                self.check_author(worker, events)
                self.task = worker.task
                return True
            worker.task = self.load()
        raise AssertionError("a fresh copy conflicts")

    def check_author(self, worker: Worker, events: list[StoredEvent]) -> None:
        for event in events:
            if event.topic in CLAIMS:
                self.lease_holder = worker
            elif event.topic in OF_A_LEASE:
                assert self.lease_holder is worker, f"{worker.name} appended {event.topic}"
                if event.topic in {Task.RetryScheduled.TOPIC, *FINAL_TOPICS}:
                    self.lease_holder = None
            elif event.topic == Task.Canceled.TOPIC:
                self.lease_holder = None

    def person(self, command) -> None:
        """A command of the gateway: always on what the log says."""
        task = self.load()
        try:
            command(task)
        except DomainError:
            return
        assert self.append(stored(task))
        self.task = task
        if task.final:
            self.lease_holder = None

    # --- what may happen, and mostly in the order that leads on

    @rule(passed=seconds)
    def time_passes(self, passed: float) -> None:
        self.now += timedelta(seconds=passed)

    @precondition(lambda self: self.task.unqueued)
    @rule()
    def relay_marks(self) -> None:
        self.person(lambda task: task.queue(now=self.now))

    @rule(n=workers)
    def claim(self, n: int) -> None:
        worker = self.workers[n]
        if self.work(worker, lambda task: task.claim(worker=worker.name, now=self.now)):
            worker.lease = worker.task.lease

    @rule(n=workers, which=some_segments)
    def start_processing(self, n: int, which: list[int]) -> None:
        worker = self.workers[n]
        self.work(
            worker,
            lambda task: task.start_processing(
                lease=worker.lease,
                transcript_hash="h",
                audio_url="https://templates.test/a.mp3",
                audio_etag=None,
                segments=which,
                now=self.now,
            ),
        )

    @rule(n=workers, segment=segments, found=st.booleans())
    def record_prediction(self, n: int, segment: int, *, found: bool) -> None:
        worker = self.workers[n]
        self.work(
            worker,
            lambda task: task.record_prediction(
                lease=worker.lease,
                segment=segment,
                prediction_id=f"p{len(self.log)}",
                model_version="v",
                found=found,
                now=self.now,
            ),
        )

    @rule(n=workers, segment=segments, predict_time=st.none() | st.floats(0, 1e6))
    def start_download(self, n: int, segment: int, predict_time: float | None) -> None:
        worker = self.workers[n]
        self.work(
            worker,
            lambda task: task.start_download(
                lease=worker.lease,
                segment=segment,
                predict_time=predict_time,
                output_url="https://replicate.test/out.wav",
                now=self.now,
            ),
        )

    @rule(n=workers, segment=segments, size=st.integers(1, 2**40), duration=st.floats(0, 1e6))
    def complete_download(self, n: int, segment: int, size: int, duration: float) -> None:
        worker = self.workers[n]
        self.work(
            worker,
            lambda task: task.complete_download(
                lease=worker.lease,
                segment=segment,
                size=size,
                sha256="s",
                duration=duration,
                now=self.now,
            ),
        )

    @precondition(lambda self: not self.task.final and not self.task.claimed)
    @rule(n=workers)
    def claim_when_due(self, n: int) -> None:
        self.now = max(self.now, self.task.due_at or self.now)
        self.claim(n)

    @precondition(lambda self: self.lease_holder is not None)
    @rule(steps=st.integers(1, 10))
    def go_on(self, steps: int) -> None:
        """The worker that may goes on in good order: chance alone would get nowhere."""
        for _ in range(steps):
            if self.lease_holder is not None:
                self.next_step(self.workers.index(self.lease_holder))

    def next_step(self, n: int) -> None:
        worker = self.workers[n]
        for index, segment in enumerate(worker.task.segments):
            if segment.downloaded:
                continue
            if segment.output_url is not None:
                self.complete_download(n, index, 1000, 2.5)
            elif segment.prediction_id is not None:
                self.start_download(n, index, 1.5)
            elif segment.intent_at is not None:
                self.record_prediction(n, index, found=False)
            else:
                self.start_processing(n, [index])
            return
        self.work(
            worker,
            lambda task: task.succeed(
                lease=worker.lease, object_key="a.wav", size=1000, duration=2.5, now=self.now
            ),
        )

    @rule(
        n=workers,
        error=st.sampled_from(ERRORS),
        costs=st.booleans(),
        abandoned=some_segments,
        settled=some_segments,
    )
    def schedule_retry(
        self, n: int, error: TaskError, abandoned: list[int], settled: list[int], *, costs: bool
    ) -> None:
        worker = self.workers[n]
        self.work(
            worker,
            lambda task: task.schedule_retry(
                worker.lease,
                RetryLater(error, task.attempt + costs, 5.0, abandoned, settled),
                now=self.now,
            ),
        )

    @rule(
        n=workers,
        error=st.sampled_from(ERRORS),
        permanent=st.booleans(),
        abandoned=some_segments,
        settled=some_segments,
    )
    def fail(
        self, n: int, error: TaskError, abandoned: list[int], settled: list[int], *, permanent: bool
    ) -> None:
        worker = self.workers[n]
        gave_up = GiveUp(error, permanent, abandoned, settled)
        self.work(worker, lambda task: task.fail(worker.lease, gave_up, now=self.now))

    @rule()
    def retry_by_hand(self) -> None:
        deadline_at = self.now + timedelta(hours=1)
        self.person(
            lambda task: task.request_retry(
                by="ann", reason="again", deadline_at=deadline_at, now=self.now
            )
        )

    @precondition(lambda self: len(self.log) > 3)  # else most lives would be short
    @rule()
    def cancel(self) -> None:
        self.person(lambda task: task.request_cancel(by="ann", reason="enough", now=self.now))

    @precondition(lambda self: self.task.cancel_requested)
    @rule(n=workers)
    def confirm_cancel(self, n: int) -> None:
        self.work(self.workers[n], lambda task: task.confirm_cancel(now=self.now))

    @precondition(lambda self: self.task.status is Status.FAILED)
    @rule()
    def dismiss(self) -> None:
        self.person(lambda task: task.dismiss(by="ann", reason="known", now=self.now))

    @rule()
    def erase(self) -> None:
        self.person(lambda task: task.erase(by="ann", now=self.now))

    # --- what holds after each of them

    @invariant()
    def the_log_replays_to_the_same_task(self) -> None:
        replayed = self.load()
        assert replayed == self.task
        assert [event.originator_version for event in self.log] == [*range(1, len(self.log) + 1)]

    @invariant()
    def a_round_has_one_final_state(self) -> None:
        topics = [event.topic for event in self.log]
        for topic, following in itertools.pairwise(topics):
            if topic in FINAL_TOPICS and following != Task.Erased.TOPIC:
                assert topic == Task.Failed.TOPIC
                assert following in {Task.RetryRequested.TOPIC, Task.Dismissed.TOPIC}
            if topic == Task.Dismissed.TOPIC:
                assert following in {Task.RetryRequested.TOPIC, Task.Erased.TOPIC}
        assert Task.Erased.TOPIC not in topics[:-1], "something happened to an erased task"
        assert self.task.final == (topics[-1] in {*FINAL_TOPICS, *AFTERWARDS})
        assert (self.task.completed_at is not None) == self.task.final

    @invariant()
    def the_error_is_never_lost(self) -> None:
        expected = None
        for event in self.log:
            state = orjson.loads(event.state)
            if event.topic in {Task.Failed.TOPIC, Task.RetryScheduled.TOPIC}:
                expected = TaskError(state["code"], state["step"], state["message"])
            elif event.topic == Task.Succeeded.TOPIC:
                expected = None
        assert self.task.error == expected
        assert self.task.status is not Status.FAILED or expected is not None

    @invariant()
    def only_the_newest_failure_is_dismissed(self) -> None:
        since = [e.topic for e in self.log if e.topic != Task.Erased.TOPIC][-1]
        assert (self.task.dismissed_at is not None) == (since == Task.Dismissed.TOPIC)

    @invariant()
    def every_claim_has_the_next_lease(self) -> None:
        leases = [orjson.loads(e.state)["lease"] for e in self.log if e.topic in CLAIMS]
        assert leases == [*range(1, len(leases) + 1)]
        assert self.task.lease == len(leases)

    @invariant()
    def the_status_is_what_the_stream_shows(self) -> None:
        newest = self.log[-1]
        assert status_of(newest.topic, orjson.loads(newest.state)) == self.task.status

    @invariant()
    def attempts_and_segments_stay_sound(self) -> None:
        task = self.task
        assert 1 <= task.attempt <= MAX_ATTEMPTS
        assert not (task.claimed and (task.due_at is not None or task.unqueued))
        assert task.due_at is None or task.status is Status.WAITING_RETRY
        for segment in task.segments:
            assert segment.intent_at is None or segment.prediction_id is None
            assert segment.output_url is None or segment.prediction_id is not None
            assert not segment.downloaded or segment.output_url is not None

    @invariant()
    def the_list_shows_what_the_task_says(self) -> None:
        row: dict[str, object] = dict.fromkeys(TASKS.columns.keys() - {"phase"})
        for position, event in enumerate(self.log, 1):
            recorded = Recorded(
                position,
                event.originator_id,
                event.originator_version,
                event.topic,
                event.state,
            )
            row |= change(recorded, orjson.loads(recorded.state))
        answer = task_answer(self.task, len(self.log), None, lambda key: key)
        assert row == {
            "task_id": answer["taskId"],
            "owner": "",
            "template_id": answer["templateId"],
            "status": answer["status"],
            "final_position": answer["position"] if self.task.final else None,
            "attempt": answer["attempt"],
            "code": answer.get("code"),
            "step": answer.get("step"),
            "message": answer.get("error"),
            "object_key": answer["audioUrl"],
            "size": answer.get("bytes"),
            "duration": answer.get("duration"),
            "created_at": answer["createdAt"],
            "updated_at": answer["updatedAt"],
            "completed_at": answer["completedAt"],
            "retry_at": answer.get("retryAt"),
            "position": answer["position"],
        }


TaskLife.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTaskLife = TaskLife.TestCase
TestTaskLife.__doc__ = "Whatever happens in whatever order, every invariant above holds."
