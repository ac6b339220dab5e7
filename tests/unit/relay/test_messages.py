"""Which message an event orders."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest

from tts.domain.task import Task
from tts.domain.values import FINAL
from tts.ports.log import Recorded
from tts.ports.queue import Destination
from tts.relay.messages import AT_ONCE, order, rescue
from tts.relay.unfinished import OVER, ROUNDS, Unfinished
from tts.wire import UPDATES

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_event(topic: str, **state) -> Recorded:
    return Recorded(7, uuid4(), 3, topic, orjson.dumps({"timestamp": NOW, **state}))


def a_retry(*, due_in: float, delay: float) -> Recorded:
    return an_event(
        Task.RetryScheduled.TOPIC, attempt=2, delay=delay, due_at=NOW + timedelta(seconds=due_in)
    )


@pytest.mark.parametrize("event_class", [Task.Requested, Task.RetryRequested, Task.CancelRequested])
def test_a_command_of_a_person_orders_work(event_class):
    """The message names the task and the event's position."""
    event = an_event(event_class.TOPIC)
    message = order(event, now=NOW)
    assert message is not None
    assert (message.destination, message.task_id, message.position) == (
        Destination.WORK,
        event.task_id,
        7,
    )


def test_a_scheduled_retry_is_delayed_by_what_was_decided():
    """The milliseconds that the event took to get here shorten nothing: never early."""
    message = order(a_retry(due_in=4.98, delay=5.0), now=NOW)
    assert message is not None
    assert (message.destination, message.delay, message.attempt) == (Destination.RETRY, 4.75, 2)


def test_a_retry_that_has_just_been_scheduled_waits_in_full_whatever_the_clocks_say():
    """The processor's clock may be ahead of the relay's, or behind it."""
    for due_in in (-600.0, 605.0):
        message = order(a_retry(due_in=due_in, delay=5.0), now=None)
        assert message is not None
        assert message.delay == 4.75


def test_a_late_relay_makes_up_for_its_lateness():
    """After an outage the remaining time counts, and an overdue retry does not wait at all."""
    remaining = order(a_retry(due_in=1.0, delay=60.0), now=NOW)
    overdue = order(a_retry(due_in=-1.0, delay=60.0), now=NOW)
    assert remaining is not None
    assert overdue is not None
    assert remaining.delay == 1.0
    assert overdue.delay == 0.0


def test_a_failure_orders_a_dead_letter_with_its_reason():
    """Who inspects the queue sees why, without the log."""
    message = order(
        an_event(
            Task.Failed.TOPIC,
            attempt=3,
            code="prediction_failed",
            step="poll",
            message="out of luck",
            permanent=True,
        ),
        now=NOW,
    )
    assert message is not None
    assert message.destination is Destination.DEAD_LETTER
    assert message.headers["code"] == "prediction_failed"
    assert message.headers["reason"] == "out of luck"


def test_every_other_event_orders_nothing():
    """And the sets that the relay filters by are exactly what order() answers."""
    for name, event_class in vars(Task).items():
        topic = getattr(event_class, "TOPIC", None)
        if topic is None or name in {"Event", "Created"} or topic in ROUNDS | AT_ONCE:
            continue
        assert order(an_event(topic), now=NOW) is None


def an_unfinished_task(topic: str, *, due: float = 0.0) -> Unfinished:
    return Unfinished(
        before=0, began=0, deadline=0, topic=topic, position=7, version=3, at=0, due=due
    )


def test_any_unfinished_task_can_be_rescued():
    """A task whose worker died in the middle gets a message that is younger than its claim."""
    message = rescue(uuid4(), an_unfinished_task(Task.PredictionCreated.TOPIC), now=100)
    assert (message.destination, message.position) == (Destination.WORK, 7)


@pytest.mark.parametrize(("due", "delay"), [(160, 64), (100, 0), (40, 0)])
def test_a_rescued_retry_waits_for_what_is_left(due, delay):
    """Never less, and little more: waiting rooms have delays from a grid."""
    task = an_unfinished_task(Task.RetryScheduled.TOPIC, due=due)
    message = rescue(uuid4(), task, now=100)
    assert (message.destination, message.delay) == (Destination.RETRY, delay)


def test_a_rescued_retry_waits_no_longer_than_was_decided():
    """Even if the relay's clock was set back by an hour."""
    task = an_unfinished_task(Task.RetryScheduled.TOPIC, due=5)
    assert rescue(uuid4(), task, now=-3600).delay == 5.0 + 0.6


def test_whatever_ends_a_task_keeps_it_out_of_a_rebuilt_queue():
    """A topic of a final status that the relay did not know would wake its tasks at each start."""
    final = {topic for topic, (status, _) in UPDATES.items() if status in FINAL}
    assert final | {Task.Erased.TOPIC} == OVER
