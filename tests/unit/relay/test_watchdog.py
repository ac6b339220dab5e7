"""Which tasks have lost their message, and which are well."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from tts.domain.task import Task
from tts.ports.log import Recorded
from tts.ports.queue import Destination
from tts.relay.unfinished import UnfinishedTasks
from tts.relay.watchdog import Watchdog

PATIENCE = 60.0
START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A log that goes on by the second, and the watchdog that looks at it."""

    def __init__(self) -> None:
        self.unfinished = UnfinishedTasks(0)
        self.ready = dict.fromkeys(Destination, 0)
        self.seconds = 0.0
        self._versions: dict[UUID, int] = {}
        self._watchdog = Watchdog(PATIENCE)

    def append(self, topic: str, task_id: UUID | None = None, **state) -> UUID:
        """An event that happens now."""
        task_id = task_id or uuid4()
        version = self._versions[task_id] = self._versions.get(task_id, 0) + 1
        now = START + timedelta(seconds=self.seconds)
        fields = {"timestamp": now, "attempt": 1, **state}
        position = self.unfinished.position + 10
        self.unfinished.apply(Recorded(position, task_id, version, topic, orjson.dumps(fields)))
        return task_id

    def a_task(self, *topics: str, worker: str = "w1") -> UUID:
        """One that was asked for, with what has happened to it since."""
        deadline = START + timedelta(seconds=self.seconds + 1500)
        task_id = self.append(Task.Requested.TOPIC, deadline_at=deadline, owner="me")
        for topic in topics:
            due = START + timedelta(seconds=self.seconds + 300)
            self.append(topic, task_id, worker=worker, due_at=due)
        return task_id

    def look(self, after: float) -> list[UUID]:
        """Whom the watchdog rescues when so many seconds more have passed."""
        self.seconds += after
        now = START.timestamp() + self.seconds
        return [id_ for id_, _ in self._watchdog.find(self.unfinished, self.ready, now)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("way", "seconds"),
    [
        ([Task.Queued], 60),
        ([Task.Queued, Task.Dequeued], 60),
        ([Task.Queued, Task.Dequeued, Task.PredictionCreated], 60),
        ([Task.Queued, Task.Dequeued, Task.RetryScheduled], 360),
        ([Task.Queued, Task.Dequeued, Task.RetryScheduled, Task.RetryStarted], 60),
        ([Task.Queued, Task.Dequeued, Task.CancelRequested], 60),
    ],
)
def test_a_task_to_which_nothing_happens_is_rescued_in_time(world, way, seconds):
    """Wherever it stands: after the patience, counted from when its retry was due."""
    task = world.a_task(*(event.TOPIC for event in way))
    assert world.look(after=seconds - 1) == []
    assert world.look(after=1) == [task]


def test_a_task_that_is_rescued_in_vain_is_rescued_ever_more_seldom(world):
    """The pause doubles; when something happens to the task it is short again."""
    task = world.a_task(Task.Queued.TOPIC)
    rescues = [n for n in range(1, 1000) if world.look(after=1)]
    assert rescues == [60, 120, 240, 480, 960]
    world.append(Task.Dequeued.TOPIC, task, worker="w1")
    rescues = [n for n in range(1, 130) if world.look(after=1)]
    assert rescues == [60, 120]


def test_a_message_that_waits_in_its_queue_is_not_lost(world):
    """As many ready messages as waiting tasks: nothing is missing, however long it takes."""
    for _ in range(3):
        world.a_task(Task.Queued.TOPIC)
    canceling = world.a_task(Task.Queued.TOPIC, Task.CancelRequested.TOPIC)
    retry = world.a_task(Task.Dequeued.TOPIC, Task.RetryScheduled.TOPIC)
    world.ready |= {Destination.WORK: 4, Destination.RETRY: 1}
    assert world.look(after=10_000) == []
    world.ready[Destination.RETRY] = 0
    assert world.look(after=1) == [retry]
    world.append(Task.Canceled.TOPIC, canceling)
    assert world.look(after=1) == []


def test_no_more_are_rescued_than_messages_are_missing(world):
    """And those first that have waited longest: a queue hands out its messages in order."""
    tasks = []
    for _ in range(5):
        tasks.append(world.a_task(Task.Queued.TOPIC))
        world.seconds += 1
    world.ready[Destination.WORK] = 3
    assert world.look(after=100) == tasks[:2]


def test_a_worker_that_waits_for_a_long_prediction_is_left_alone(world):
    """It lives, for it brings other tasks forward; when it falls silent all of its tasks count."""
    task = world.a_task(Task.Dequeued.TOPIC, Task.PredictionCreated.TOPIC)
    for _ in range(20):
        other = world.a_task(Task.Dequeued.TOPIC)
        world.append(Task.Succeeded.TOPIC, other)
        assert world.look(after=50) == []
    world.a_task(Task.Dequeued.TOPIC, worker="w2")
    assert world.look(after=10) == [task]


def test_past_its_deadline_a_task_is_rescued_although_its_worker_lives(world):
    """So that it comes to its end."""
    task = world.a_task(Task.Dequeued.TOPIC)
    found = []
    while not found:
        other = world.a_task(Task.Dequeued.TOPIC)
        world.append(Task.Succeeded.TOPIC, other)
        found = world.look(after=30)
    assert found == [task]
    assert 1500 <= world.seconds <= 1500 + 2 * PATIENCE


def test_a_task_that_is_over_or_waits_for_its_turn_is_not_rescued(world):
    """The backlog has the one, nobody wants the others."""
    world.a_task()
    for over in (Task.Succeeded, Task.Failed, Task.Canceled):
        world.a_task(Task.Dequeued.TOPIC, over.TOPIC)
    assert world.look(after=10_000) == []


def test_memory_goes_with_the_unfinished_tasks_alone(world):
    """A thousand tasks that came and went leave nothing behind, and move the floor on."""
    kept = world.a_task(Task.Queued.TOPIC)
    floor = world.unfinished.floor
    for n in range(1000):
        task = world.a_task(Task.Queued.TOPIC, Task.Dequeued.TOPIC, worker=f"w{n}")
        world.look(after=PATIENCE)
        world.append(Task.Failed.TOPIC, task)
    world.look(after=2 * PATIENCE)
    assert list(world.unfinished.tasks) == [kept]
    assert list(world._watchdog._rescued) == [kept]
    assert world.unfinished._signs == {}
    assert world.unfinished.floor == floor == 0
    world.append(Task.Canceled.TOPIC, kept)
    assert world.unfinished.floor == world.unfinished.position


def test_a_task_that_is_asked_for_again_is_unfinished_again(world):
    """From its new round on, and behind those that wait already."""
    again = world.a_task(Task.Dequeued.TOPIC, Task.Failed.TOPIC)
    other = world.a_task()
    world.append(Task.RetryRequested.TOPIC, again, deadline_at=START + timedelta(seconds=1500))
    assert list(world.unfinished.tasks) == [other, again]
    world.append(Task.Queued.TOPIC, again)
    assert world.look(after=60) == [again]
