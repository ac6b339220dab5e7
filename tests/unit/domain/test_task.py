"""What each command of a task does, and when it is refused: given, when, then."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random

import pytest

from tests import builders
from tests.builders import NOW, complete, download, record, start
from tests.histories import new_task
from tts.domain.errors import LeaseLost, TaskErased, TransitionRefused
from tts.domain.task import Task
from tts.domain.values import FINAL, GiveUp, RetryLater, Status, TaskError

ERROR = TaskError("network", "poll", "connection reset")
LATER = NOW + timedelta(seconds=5)
Command = Callable[[Task], object]


succeed = partial(builders.succeed, now=LATER)


def put_off(
    task: Task,
    *,
    lease: int | None = None,
    attempt: int = 2,
    abandoned: tuple[int, ...] = (),
    settled: tuple[int, ...] = (0,),
) -> None:
    delay = (LATER - NOW).total_seconds()
    later = RetryLater(ERROR, attempt, delay, abandoned=list(abandoned), settled=list(settled))
    task.schedule_retry(lease or task.lease, later, now=NOW)


def fail(
    task: Task,
    *,
    lease: int | None = None,
    abandoned: tuple[int, ...] = (),
    settled: tuple[int, ...] = (0,),
) -> None:
    gave_up = GiveUp(ERROR, permanent=False, abandoned=list(abandoned), settled=list(settled))
    task.fail(lease or task.lease, gave_up, now=LATER)


def queue(task: Task) -> None:
    task.queue(now=NOW)


def claim(task: Task, *, worker: str = "w1", now: datetime = NOW) -> int:
    return task.claim(worker=worker, now=now)


def claim_when_due(task: Task) -> int:
    return claim(task, worker="w2", now=LATER)


def retry(task: Task) -> None:
    task.request_retry(by="ann", reason="why not", deadline_at=LATER, now=NOW)


def cancel(task: Task) -> None:
    task.request_cancel(by="ann", reason="enough", now=NOW)


def confirm(task: Task) -> None:
    task.confirm_cancel(now=LATER)


CLAIMED = (queue, claim)
PROCESSING = (*CLAIMED, start)
PREDICTED = (*PROCESSING, record)
DOWNLOADING = (*PREDICTED, download)
DOWNLOADED = (*DOWNLOADING, complete)
SUCCEEDED = (*DOWNLOADED, succeed)
WAITING = (*CLAIMED, put_off)
FAILED = (*CLAIMED, fail)
CANCELING = (*PREDICTED, cancel)
CANCELED = (*CANCELING, confirm)
BEFORE_CLAIM = {"requested": (), "queued": (queue,), "waiting": WAITING}
OVER = {"succeeded": SUCCEEDED, "failed": FAILED, "canceled": CANCELED}
OF_A_WORKER = {
    "start": start,
    "record": record,
    "download": download,
    "complete": complete,
    "succeed": succeed,
    "put off": put_off,
    "fail": fail,
}


def given(*commands: Command, segments: int = 1) -> Task:
    """A task to which all of that has happened and is in the log."""
    task = new_task(Random(0), segments=segments)
    for command in commands:
        command(task)
    task.collect_events()
    return task


def events(task: Task) -> list[str]:
    return [type(event).__name__ for event in task.collect_events()]


def cases(table: dict[str, object]) -> list[object]:
    return [pytest.param(value, id=name) for name, value in table.items()]


# --- the way that leads to speech


def test_a_request_starts_a_task():
    """It is starting, unqueued, in its first attempt, and knows its segments but not its text."""
    task = new_task(Random(0), segments=2)
    assert events(task) == ["Requested"]
    assert (task.status, task.unqueued, task.attempt) == (Status.STARTING, True, 1)
    assert [(s.start, s.end) for s in task.segments] == [(0, 10), (10, 20)]
    assert not task.final


@pytest.mark.parametrize(
    ("before", "command", "event", "status"),
    [
        ((), queue, "Queued", Status.QUEUED),
        ((queue,), claim, "Dequeued", Status.DEQUEUED),
        (CLAIMED, start, "ProcessingStarted", Status.PROCESSING),
        (PROCESSING, record, "PredictionCreated", Status.PREDICTION_CREATED),
        (PREDICTED, download, "DownloadStarted", Status.DOWNLOADING),
        (DOWNLOADING, complete, "DownloadCompleted", Status.DOWNLOAD_COMPLETE),
        (DOWNLOADED, succeed, "Succeeded", Status.SUCCEEDED),
        (CLAIMED, put_off, "RetryScheduled", Status.WAITING_RETRY),
        (WAITING, claim_when_due, "RetryStarted", Status.RETRYING),
        (CLAIMED, fail, "Failed", Status.FAILED),
        (FAILED, retry, "RetryRequested", Status.RETRYING),
        (PREDICTED, cancel, "CancelRequested", Status.CANCELING),
        (CANCELING, confirm, "Canceled", Status.CANCELED),
    ],
)
def test_each_command_has_its_event_and_status(before, command, event, status):
    """One command, one event, one status of the wire."""
    task = given(*before)
    command(task)
    assert events(task) == [event]
    assert task.status is status


def test_success_carries_what_it_took():
    """Size, duration, time billed over all segments, and how many predictions were decided on."""
    task = given(
        *CLAIMED,
        partial(start, segments=[0, 1]),
        record,
        partial(record, segment=1),
        download,
        partial(download, segment=1, predict_time=None),
        complete,
        partial(complete, segment=1),
        segments=2,
    )
    succeed(task)
    (event,) = task.collect_events()
    assert (event.predict_time, event.predictions, event.object_key) == (
        1.5,
        2,
        f"audio-{task.id}.wav",
    )
    assert (task.size, task.duration, task.completed_at) == (8, 2.5, LATER)


def test_success_needs_every_segment():
    """A segment that is not downloaded is missing from the audio."""
    task = given(*CLAIMED, partial(start, segments=[0, 1]), record, download, complete, segments=2)
    with pytest.raises(TransitionRefused, match="a segment is missing"):
        succeed(task)


def test_what_happens_to_a_segment_says_of_how_many():
    """Who reads a stream can tell from any of these events, and which attempt it is."""
    task = given(*CLAIMED, segments=2)
    for command in (start, record, download, complete):
        command(task)
    assert [(event.attempt, event.total) for event in task.collect_events()] == [(1, 2)] * 4


# --- the queue and the claim


@pytest.mark.parametrize("before", [(queue,), CLAIMED, WAITING, FAILED, (cancel,)])
def test_a_round_is_queued_once(before):
    """The relay marks only a round that waits for its message."""
    task = given(*before)
    with pytest.raises(TransitionRefused, match="already queued"):
        queue(task)
    assert events(task) == []


def test_a_claim_before_the_relays_mark_brings_it_along():
    """A delivery proves that the message was confirmed, so the statuses keep their order."""
    task = given()
    assert claim(task) == 1
    assert events(task) == ["Queued", "Dequeued"]


def test_every_claim_has_a_higher_lease():
    """The second worker of an attempt fences the first one."""
    task = given(*PREDICTED)
    assert claim(task, worker="w2") == 2
    assert task.worker == "w2"
    with pytest.raises(LeaseLost):
        download(task, lease=1)
    download(task, lease=2)


def test_a_claim_forgets_nothing_that_was_paid_for():
    """The new worker polls the prediction that the old one created."""
    task = given(*PREDICTED, claim)
    assert task.segments[0].prediction_id == "p1"
    assert task.running_upstream


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=10), timedelta(hours=-1)])
def test_a_retry_is_claimed_whatever_the_clock_says(ahead):
    """Its message has waited with the broker, and a clock that is wrong blocks nothing."""
    task = given(*WAITING)
    claim(task, now=LATER + ahead)
    assert task.due_at is None


@pytest.mark.parametrize("before", cases({**OVER, "canceling": CANCELING}))
def test_what_is_over_or_canceling_is_not_claimed(before):
    """No new work begins on it."""
    task = given(*before)
    with pytest.raises(TransitionRefused):
        claim(task)


# --- who may append


@pytest.mark.parametrize("command", cases(OF_A_WORKER))
@pytest.mark.parametrize("before", cases(OVER))
def test_nothing_more_happens_to_a_task_that_is_over(before, command):
    """A final state stays until a person asks for another round."""
    task = given(*before)
    with pytest.raises(TransitionRefused):
        command(task)
    assert events(task) == []


@pytest.mark.parametrize("command", cases(OF_A_WORKER))
def test_an_older_lease_is_fenced(command):
    """A worker that lost its message stops at its next command, whichever it is."""
    task = given(*DOWNLOADED, partial(claim, worker="w2"))
    with pytest.raises(LeaseLost, match="held under lease 2, not 1"):
        command(task, lease=1)
    assert events(task) == []


@pytest.mark.parametrize("command", cases(OF_A_WORKER))
@pytest.mark.parametrize(
    "before",
    cases(
        {"waiting": WAITING, "asked for again": (*FAILED, retry), "queued": (*FAILED, retry, queue)}
    ),
)
def test_the_end_of_an_attempt_ends_the_lease(before, command):
    """The worker of an earlier attempt has no say in the next one, although nobody holds it yet."""
    task = given(*before)
    with pytest.raises(TransitionRefused, match="nobody has claimed this round"):
        command(task)


@pytest.mark.parametrize("command", cases({n: c for n, c in OF_A_WORKER.items() if n != "record"}))
def test_a_task_that_is_being_canceled_goes_no_further(command):
    """Neither on nor back: it can only be confirmed."""
    task = given(*CANCELING)
    with pytest.raises(TransitionRefused, match="being canceled"):
        command(task)


# --- intents and predictions


def test_an_intent_counts_as_a_creation_once():
    """Renewing it, as the next worker does when nothing was created, costs nothing."""
    task = given(*PROCESSING, start, claim, start)
    assert task.predictions == 1
    assert task.segments[0].intent_lease == 2


def test_no_second_prediction_while_there_is_one():
    """A segment that has a prediction is not created again unless it was abandoned."""
    task = given(*PREDICTED)
    with pytest.raises(TransitionRefused, match="segment 0 has prediction p1"):
        start(task)


def test_a_prediction_needs_an_intent():
    """What nobody decided on cannot have been created by us."""
    with pytest.raises(TransitionRefused, match="no intent"):
        record(given(*CLAIMED))


def test_a_download_needs_a_prediction_and_its_end_a_start():
    """Steps do not leap."""
    with pytest.raises(TransitionRefused, match="no prediction"):
        download(given(*PROCESSING))
    with pytest.raises(TransitionRefused, match="not started"):
        complete(given(*PREDICTED))


@pytest.mark.parametrize("end", [put_off, fail])
def test_an_unsettled_intent_outlives_its_attempt(end):
    """When the reply to a creation was lost, the next worker has to look for it."""
    task = given(*PROCESSING, partial(end, settled=()))
    assert task.segments[0].intent_at == NOW
    assert task.running_upstream
    settled = given(*PROCESSING, partial(end, settled=(0,)))
    assert settled.segments[0].intent_at is None
    assert not settled.running_upstream


@pytest.mark.parametrize("end", [put_off, fail])
def test_only_the_segment_that_was_refused_is_settled(end):
    """The others' creations stay in doubt, and are looked for before they are repeated."""
    both = partial(start, segments=[0, 1])
    task = given(*CLAIMED, both, partial(end, settled=(1,)), segments=2)
    assert [segment.intent_at for segment in task.segments] == [NOW, None]


@pytest.mark.parametrize("end", [put_off, fail])
def test_an_abandoned_segment_is_spoken_anew(end):
    """Its prediction is forgotten, its creation is not: it was paid for."""
    task = given(*DOWNLOADED, partial(end, abandoned=(0,)))
    segment = task.segments[0]
    assert (segment.prediction_id, segment.output_url, segment.sha256) == (None, None, None)
    assert not segment.downloaded
    assert task.predictions == 1


# --- failures and retries


def test_a_retry_keeps_the_error_and_the_next_attempts_number():
    """Whoever looks during the wait sees what went wrong and when it goes on."""
    task = given(*WAITING)
    assert (task.error, task.attempt, task.due_at) == (ERROR, 2, LATER)


def test_a_retry_may_use_up_no_attempt():
    """Being throttled is nobody's failure."""
    task = given(*CLAIMED)
    put_off(task, attempt=1)
    assert task.attempt == 1


@pytest.mark.parametrize("attempt", [0, 4])
def test_attempts_stay_within_their_bounds(attempt):
    """They neither go back nor exceed the maximum of the request."""
    with pytest.raises(TransitionRefused, match="not between 1 and 3"):
        put_off(given(*CLAIMED), attempt=attempt)


def test_a_failure_keeps_its_error_through_the_next_round():
    """The error stays visible until the task succeeds."""
    task = given(*FAILED)
    assert (task.error, task.completed_at) == (ERROR, LATER)
    for command in (retry, queue, claim, start, record, download, complete):
        command(task)
        assert task.error == ERROR
        assert task.completed_at is None
    succeed(task)
    assert task.error is None


def test_a_retry_by_hand_starts_a_round_of_its_own():
    """Attempts count from one, the deadline is new, and what was paid for is used again."""
    task = given(*PREDICTED, put_off, claim_when_due, fail, retry)
    assert (task.attempt, task.unqueued, task.deadline_at) == (1, True, LATER)
    assert task.segments[0].prediction_id == "p1"


@pytest.mark.parametrize(
    "before", cases({**BEFORE_CLAIM, "working": PREDICTED, "done": SUCCEEDED, "canceled": CANCELED})
)
def test_only_a_failed_task_is_asked_for_again(before):
    """Everything else is under way, or came to the end that somebody wanted."""
    with pytest.raises(TransitionRefused, match="it has not failed"):
        retry(given(*before))


# --- cancellation


@pytest.mark.parametrize("before", cases({**BEFORE_CLAIM, "asked for again": (*FAILED, retry)}))
def test_an_idle_task_is_canceled_at_once(before):
    """Nothing runs for it, so there is nothing to wait for."""
    task = given(*before)
    cancel(task)
    assert events(task) == ["CancelRequested", "Canceled"]
    assert (task.status, task.cancel_by, task.cancel_reason) == (Status.CANCELED, "ann", "enough")


@pytest.mark.parametrize(
    "before",
    cases(
        {
            "claimed": CLAIMED,
            "predicted": PREDICTED,
            "waiting, unsettled": (*PROCESSING, partial(put_off, settled=())),
            "waiting, running": (*PREDICTED, put_off),
        }
    ),
)
def test_a_task_that_something_runs_for_waits_for_the_confirmation(before):
    """A processor stops the prediction first."""
    task = given(*before)
    cancel(task)
    assert events(task) == ["CancelRequested"]
    assert not task.final
    confirm(task)
    assert task.completed_at == LATER


def test_a_canceled_task_waits_for_no_retry():
    """Nothing is due any more, and nobody is told that it was."""
    assert given(*WAITING, cancel).due_at is None


def test_a_prediction_that_turns_up_during_the_cancellation_is_recorded():
    """So that it can be canceled upstream."""
    task = given(*PROCESSING, cancel)
    record(task)
    assert task.segments[0].prediction_id == "p1"
    assert task.cancel_requested


@pytest.mark.parametrize("before", cases({**OVER, "canceling": CANCELING}))
def test_a_cancellation_is_asked_for_once_and_in_time(before):
    """A final state is not taken back, and one request is enough."""
    with pytest.raises(TransitionRefused):
        cancel(given(*before))


@pytest.mark.parametrize("before", cases({**OVER, "working": PREDICTED}))
def test_only_what_was_asked_for_is_confirmed(before):
    """No worker cancels by itself, and none does it twice."""
    with pytest.raises(TransitionRefused, match="nobody asked"):
        confirm(given(*before))


@pytest.mark.parametrize("before", cases(OVER))
def test_a_task_that_is_over_can_be_erased(before):
    """It keeps its status and its times, and loses its audio."""
    task = given(*before)
    status, completed_at = task.status, task.completed_at
    task.erase(by="ann", now=LATER)
    assert events(task) == ["Erased"]
    assert (task.status, task.completed_at, task.erased_at) == (status, completed_at, LATER)
    assert (task.final, task.object_key) == (True, None)
    with pytest.raises(TransitionRefused, match="already erased"):
        task.erase(by="ann", now=LATER)


@pytest.mark.parametrize("before", cases({"working": PREDICTED, "canceling": CANCELING}))
def test_a_task_that_something_runs_for_is_not_erased(before):
    """Its worker would need the words, and would store audio behind the erasure."""
    with pytest.raises(TransitionRefused, match="not over"):
        given(*before).erase(by="ann", now=LATER)


def test_an_erased_task_cannot_be_retried():
    """Nobody knows any more what it was to say."""
    task = given(*OVER["failed"])
    task.erase(by="ann", now=LATER)
    with pytest.raises(TaskErased):
        task.request_retry(by="ann", reason="again", deadline_at=LATER, now=LATER)


def dismiss(task):
    task.dismiss(by="ann", reason="known", now=LATER)


def test_a_failure_can_be_dismissed_once():
    """The task stays failed, as it ended; only nobody has to look at it any more."""
    task = given(*OVER["failed"])
    completed_at, error = task.completed_at, task.error
    dismiss(task)
    assert events(task) == ["Dismissed"]
    assert (task.status, task.completed_at, task.error) == (Status.FAILED, completed_at, error)
    assert task.dismissed_at == LATER
    with pytest.raises(TransitionRefused, match="already dismissed"):
        dismiss(task)


def test_a_dismissed_task_can_be_retried_and_is_not_dismissed_then():
    """Who changes his mind may; a failure after that is a new one."""
    task = given(*OVER["failed"], dismiss)
    task.request_retry(by="ann", reason="again", deadline_at=LATER, now=LATER)
    assert (task.status, task.dismissed_at) == (Status.RETRYING, None)


def test_an_erased_task_is_not_dismissed():
    """Nothing can be done for it any more, so that there is nothing to dismiss."""
    task = given(*OVER["failed"])
    task.erase(by="ann", now=LATER)
    with pytest.raises(TaskErased):
        dismiss(task)


@pytest.mark.parametrize(
    "before",
    cases({"working": PREDICTED, **{name: how for name, how in OVER.items() if name != "failed"}}),
)
def test_only_a_failure_is_dismissed(before):
    """Anything else is no dead letter."""
    with pytest.raises(TransitionRefused, match="has not failed"):
        dismiss(given(*before))


def test_the_final_statuses_are_three():
    """Succeeded, failed, canceled, and nothing else."""
    assert {Status.SUCCEEDED, Status.FAILED, Status.CANCELED} == FINAL
