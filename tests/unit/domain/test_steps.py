"""What a processor does next, told from the task's state alone."""

from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest

from tests.builders import NOW, bring, succeed
from tts.domain.steps import (
    Cancel,
    Claim,
    Create,
    Done,
    Download,
    Expire,
    Poll,
    SegmentStep,
    Settle,
    Speak,
    Start,
    Step,
    StoreAudio,
    Yield,
    next_segment_step,
    next_step,
)
from tts.domain.task import Task
from tts.domain.values import RetryLater, Status, TaskError

ERROR = TaskError("code", "poll", "message")


@pytest.fixture
def task() -> Task:
    return Task.request(
        id=uuid4(),
        template_id="t",
        text_hash="h",
        text_length=2,
        segments=[[0, 2]],
        owner="",
        max_attempts=3,
        deadline_at=NOW + timedelta(hours=1),
        idempotency_key=None,
        now=NOW,
    )


started = partial(bring, status=Status.PROCESSING)
created = partial(bring, status=Status.PREDICTION_CREATED)
downloading = partial(bring, status=Status.DOWNLOADING)
downloaded = partial(bring, status=Status.DOWNLOAD_COMPLETE)


def next_of(task: Task, lease: int, now: datetime) -> Step | SegmentStep | None:
    """The step, and for a task that is to be spoken the one of its only segment."""
    step = next_step(task, lease, now)
    return next_segment_step(task, 0, lease, now) if isinstance(step, Speak) else step


class TestTheWay:
    def test_a_new_task_is_claimed(self, task):
        """Nothing is done without a lease."""
        assert next_step(task, None, NOW) == Claim()

    def test_the_intent_comes_before_the_creation(self, task):
        """The template is fetched and the intent recorded first."""
        lease = task.claim(worker="w", now=NOW)
        assert next_of(task, lease, NOW) == Start()

    def test_then_the_prediction_is_created_waited_for_fetched_and_stored(self, task):
        """Each event leads to the next step."""
        assert next_of(task, started(task), NOW) == Create()

    def test_a_created_prediction_is_polled(self, task):
        """The id is in the log: nothing is created any more."""
        assert next_of(task, created(task), NOW) == Poll("p1")

    def test_a_finished_prediction_is_downloaded(self, task):
        """Its output has an address."""
        assert next_of(task, downloading(task), NOW) == Download("https://replicate.test/0.wav")

    def test_a_downloaded_one_is_stored(self, task):
        """All segments are there."""
        assert next_step(task, downloaded(task), NOW) == StoreAudio()

    def test_a_task_that_is_over_needs_nothing(self, task):
        """The message can be forgotten."""
        lease = downloaded(task)
        succeed(task)
        assert next_step(task, lease, NOW) == Done()
        assert next_step(task, None, NOW) == Done()


class TestOtherWorkers:
    def test_a_worker_whose_lease_is_old_stops(self, task):
        """A newer claim fences it."""
        old = started(task)
        task.claim(worker="w2", now=NOW)
        assert next_step(task, old, NOW) == Yield()

    def test_an_intent_of_an_earlier_lease_is_settled_before_anything_is_created(self, task):
        """The earlier worker may have created the prediction and died before it said so."""
        started(task)
        lease = task.claim(worker="w2", now=NOW)
        assert next_of(task, lease, NOW) == Settle(NOW)

    def test_an_intent_that_has_grown_old_is_renewed(self, task):
        """A request must leave soon after its intent, or a searcher would stop looking early."""
        lease = started(task)
        assert next_of(task, lease, NOW + timedelta(seconds=6)) == Start()


class TestTime:
    def test_a_retry_whose_message_came_is_due(self, task):
        """The broker has measured the wait; the clocks of two machines may differ."""
        lease = started(task)
        task.schedule_retry(lease, RetryLater(ERROR, attempt=2, delay=5, settled=[0]), now=NOW)
        assert next_step(task, None, NOW) == Claim()

    @pytest.mark.parametrize("until", [started, created])
    def test_nothing_new_is_begun_after_the_deadline(self, task, until):
        """What runs upstream is stopped instead."""
        lease = until(task)
        assert next_step(task, lease, task.deadline_at) == Expire()

    def test_what_is_paid_for_is_delivered_even_late(self, task):
        """A finished prediction's output is fetched and stored after the deadline too."""
        lease = downloading(task)
        assert next_of(task, lease, task.deadline_at) == Download("https://replicate.test/0.wav")

    def test_a_cancellation_comes_before_everything_else(self, task):
        """Claimed or not, what runs upstream is stopped."""
        lease = created(task)
        task.request_cancel(by="me", reason="", now=NOW)
        assert next_step(task, lease, NOW) == Cancel()
        assert next_step(task, None, NOW) == Cancel()


class TestSeveralSegments:
    @pytest.fixture
    def long(self) -> Task:
        """A text of three segments."""
        return Task.request(
            id=uuid4(),
            template_id="t",
            text_hash="h",
            text_length=6,
            segments=[[0, 2], [2, 4], [4, 6]],
            owner="",
            max_attempts=3,
            deadline_at=NOW + timedelta(hours=1),
            idempotency_key=None,
            now=NOW,
        )

    def test_each_goes_its_own_way(self, long):
        """One may be polled while another has not been begun."""
        lease = created(long)
        assert next_step(long, lease, NOW) == Speak([0, 1, 2])
        assert next_segment_step(long, 0, lease, NOW) == Poll("p1")
        assert next_segment_step(long, 1, lease, NOW) == Start()

    def test_one_that_is_there_is_left_alone(self, long):
        """What was paid for is never asked for again."""
        lease = downloaded(long)
        assert next_step(long, lease, NOW) == Speak([1, 2])
        assert next_segment_step(long, 0, lease, NOW) is None

    def test_nothing_is_stored_before_the_last_one_is_there(self, long):
        """The audio is whole or there is none."""
        lease = downloaded(long)
        for index in (1, 2):
            assert next_step(long, lease, NOW) != StoreAudio()
            downloaded(long, segment=index)
        assert next_step(long, lease, NOW) == StoreAudio()

    def test_a_part_of_it_is_not_delivered_late(self, long):
        """Where a segment is not spoken at the deadline, the others are of no use."""
        lease = downloading(long)
        assert next_step(long, lease, long.deadline_at) == Expire()
        assert next_segment_step(long, 1, lease, long.deadline_at) is None
