"""One look into the log serves every task of a process that is in doubt."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import orjson
import pytest

from tts.domain.task import Task
from tts.ports.epochs import Epoch, Epochs, WentBack
from tts.ports.log import Recorded
from tts.processor.recorded_predictions import (
    EARLIER_POSITIONS,
    REACH_POSITIONS,
    RecordedPredictions,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """Has events at positions, and counts those that it gave."""

    def __init__(self) -> None:
        self.epochs = Epochs([Epoch(0, uuid4(), 0, 0, NOW)])
        self.events: list[Recorded] = []
        self.end = 0
        self.given = 0
        self.asked: list[int] = []

    def intend(self, position: int, task_id: UUID, at: datetime = NOW) -> None:
        """A task decides on the creation of its first segment."""
        state = {"segments": [0], "timestamp": at.isoformat()}
        self._add(position, task_id, Task.ProcessingStarted.TOPIC, state)

    def create(self, position: int, task_id: UUID, prediction_id: str) -> None:
        """It has the prediction."""
        state = {"segment": 0, "prediction_id": prediction_id}
        self._add(position, task_id, Task.PredictionCreated.TOPIC, state)

    def lose(self, survived: int, first: int) -> None:
        """What stands behind ``survived`` is gone."""
        self.events = [event for event in self.events if event.position <= survived]
        self.epochs = Epochs([*self.epochs._epochs, Epoch(1, uuid4(), survived, first, NOW)])
        self.end = survived

    async def position(self) -> int:
        """As the port has it."""
        return self.end

    async def read(self, after, limit, topics):
        """As the port has it."""
        self.epochs.check(after)
        self.asked.append(after)
        found = [e for e in self.events if e.position > after and e.topic in topics][:limit]
        self.given += len(found)
        return found

    def _add(self, position: int, task_id: UUID, topic: str, state: dict) -> None:
        event = SimpleNamespace(
            position=position, task_id=task_id, topic=topic, state=orjson.dumps(state)
        )
        self.events.append(event)
        self.end = position


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def recorded(log) -> RecordedPredictions:
    return RecordedPredictions(log)


async def test_a_backlog_in_doubt_reads_the_log_once(log, recorded):
    """Each task of it asks from its own position on."""
    for n in range(100):
        log.create(1000 + n, uuid4(), f"p{n}")
    for n in range(100):
        found = await recorded.since(1000 + n)
        assert "p99" in found.ids
    assert log.given == 100


async def test_each_look_has_what_was_written_since(log, recorded):
    """Who decides is unsettled until its prediction is there."""
    task_id = uuid4()
    log.intend(10, task_id)
    assert (await recorded.since(0)).unsettled(NOW - timedelta(seconds=1)) == {(task_id, 0)}
    assert (await recorded.since(0)).unsettled(NOW) == set()
    log.create(11, task_id, "p")
    found = await recorded.since(5)
    assert (found.ids, found.unsettled(NOW - timedelta(seconds=1))) == ({"p"}, set())


@pytest.mark.parametrize("earlier", [0, 1, 500_000 - EARLIER_POSITIONS - 1])
async def test_who_asks_from_before_gets_what_was_there(log, recorded, earlier):
    """However far back that is."""
    log.create(earlier + 1, uuid4(), "old")
    log.create(500_001, uuid4(), "new")
    await recorded.since(500_000)
    assert (await recorded.since(earlier)).ids == {"old", "new"}


async def test_what_nobody_asks_for_any_more_is_not_kept(log, recorded):
    """A process that lives for months does not know all predictions of them."""
    log.create(10, uuid4(), "old")
    await recorded.since(5)
    log.create(10 + REACH_POSITIONS, uuid4(), "new")
    assert (await recorded.since(9 + REACH_POSITIONS)).ids == {"new"}


async def test_after_a_loss_it_knows_nothing_of_what_is_gone(log, recorded):
    """Also if it began in what is gone; positions that nobody has are no distance."""
    log.create(100_000, uuid4(), "kept")
    log.create(100_010, uuid4(), "lost")
    assert "lost" in (await recorded.since(100_005)).ids
    log.lose(100_001, 9_000_000)
    log.create(9_000_001, uuid4(), "later")
    assert (await recorded.since(100_000)).ids == {"kept", "later"}
    log.asked.clear()
    assert (await recorded.since(9_000_000)).ids == {"kept", "later"}
    assert log.asked == [9_000_001]


async def test_one_that_began_in_what_is_gone_begins_anew(log, recorded):
    """A position behind the loss is behind its beginning as well."""
    log.create(100_000, uuid4(), "lost")
    await recorded.since(100_000)
    log.lose(10, 9_000_000)
    log.create(9_000_001, uuid4(), "later")
    assert (await recorded.since(9_000_001)).ids == {"later"}


def test_the_log_of_these_tests_refuses_what_is_gone(log):
    """As a real one does."""
    log.lose(10, 100)
    with pytest.raises(WentBack):
        log.epochs.check(50)
