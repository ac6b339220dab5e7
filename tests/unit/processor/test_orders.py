"""Which messages are worked on, and when, judged from the log."""

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.builders import NOW, bring
from tts.domain.task import Task
from tts.domain.values import RetryLater, Status, TaskError
from tts.ports.log import Recorded
from tts.ports.queue import Destination, Message
from tts.processor.orders import early, is_duplicate

WAIT = 5.0
DUE = NOW + timedelta(seconds=WAIT)


@pytest.fixture
def task() -> Task:
    return Task.request(
        id=uuid4(),
        now=NOW,
        template_id="t1",
        text_hash="h",
        text_length=3,
        segments=[(0, 3)],
        owner="anonymous",
        max_attempts=3,
        deadline_at=NOW + timedelta(minutes=10),
        idempotency_key=None,
    )


@pytest.fixture
def waiting(task):
    """One that waits for a retry; its events have the positions from 1 on."""
    lease = bring(task, Status.DEQUEUED)
    task.schedule_retry(
        lease, RetryLater(TaskError("network", "start", "reset"), attempt=2, delay=WAIT), now=NOW
    )
    return task


def log_of(task: Task) -> list[Recorded]:
    return [
        Recorded(number, task.id, number, type(event).TOPIC, b"{}")
        for number, event in enumerate(task.pending_events, 1)
    ]


def judged(task: Task, destination: Destination, position: int, *, again: bool = False) -> bool:
    message = Message(destination, task.id, attempt=1, position=position)
    return is_duplicate(message, task, log_of(task), again=again)


class TestWhoStartsARetry:
    def test_the_message_that_waited(self, waiting):
        """And one that rescues it, even if it comes twice."""
        newest = len(log_of(waiting))
        assert not judged(waiting, Destination.RETRY, newest)
        assert not judged(waiting, Destination.RETRY, newest, again=True)

    @pytest.mark.parametrize("again", [False, True])
    def test_no_message_from_before(self, waiting, again):
        """The one that led to the attempt comes again when its processor dies before it acks."""
        assert judged(waiting, Destination.WORK, 1, again=again)
        assert judged(waiting, Destination.RETRY, 2, again=again)

    def test_a_cancellation_does_not_wait(self, waiting):
        """Whatever message brings it."""
        waiting.request_cancel(by="user", reason="", now=NOW)
        assert not judged(waiting, Destination.WORK, 1)


class TestWhen:
    @pytest.mark.parametrize("seconds", [0.001, 0.25, 1.0])
    def test_a_message_that_comes_a_little_early_waits_for_the_rest(self, waiting, seconds):
        """The relay sends it so on purpose."""
        assert early(waiting, DUE - timedelta(seconds=seconds)) == pytest.approx(seconds)

    @pytest.mark.parametrize("hours", [-24, -1, -1 / 60, 0, 1, 24])
    def test_clocks_that_differ_hold_nothing_up(self, waiting, hours):
        """Due is what the broker has measured, not what a clock says."""
        assert early(waiting, DUE + timedelta(hours=hours)) == 0.0
        assert early(waiting, DUE) == 0.0


def test_a_message_that_was_worked_on_is_dropped(task):
    """Unless its consumer died, or it is younger than the claim."""
    bring(task, Status.DEQUEUED)
    claimed_at = len(log_of(task))
    assert judged(task, Destination.WORK, 1)
    assert not judged(task, Destination.WORK, 1, again=True)
    assert not judged(task, Destination.WORK, claimed_at)
