"""One list of what the log has forgotten serves every task of a process."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tts.domain.failures import StepError
from tts.ports.epochs import Epoch
from tts.ports.speech import Listed, Speech
from tts.processor.forgotten_predictions import ForgottenPredictions

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = Epoch(1, uuid4(), survived=7, first=1_000_000, began=BEGAN)
UNTIL = BEGAN + timedelta(seconds=20)
SPEECH = Speech("你好", "t", "http://a")


class Predictions:
    """Lists when it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime]] = []
        self.answer = asyncio.Event()
        self.failure: StepError | None = None
        self.listed = [Listed("new", BEGAN), Listed("old", BEGAN - timedelta(minutes=2))]

    async def survey(self, *, since, until):
        """As the port has it."""
        self.asked.append((since, until))
        await self.answer.wait()
        if self.failure is not None:
            raise self.failure
        return lambda speech: self.listed if speech == SPEECH else []


class Asker:
    """Asks at a time of its own."""

    def __init__(self) -> None:
        self.predictions = Predictions()
        self.now = BEGAN + timedelta(hours=1)
        self.forgotten = ForgottenPredictions(self.predictions, lambda: self.now)

    async def ask(self, minutes=1, speech=SPEECH, epoch=EPOCH):
        """The ids of what was created since so many minutes before the epoch."""
        since = BEGAN - timedelta(minutes=minutes)
        return [e.id for e in await self.forgotten.of(epoch, speech, since=since, until=UNTIL)]


@pytest.fixture
async def it():
    it = Asker()
    yield it
    await it.forgotten.aclose()


async def test_who_asks_together_shares_a_list(it):
    """Also with one who gives up waiting."""
    impatient = asyncio.create_task(it.ask())
    others = [asyncio.create_task(it.ask(speech=s)) for s in (SPEECH, Speech("x", "t", "a"))]
    await asyncio.sleep(0)
    impatient.cancel()
    it.predictions.answer.set()
    assert await asyncio.gather(*others) == [["new"], []]
    assert len(it.predictions.asked) == 1


async def test_a_list_of_what_is_over_serves_for_good(it):
    """One that was begun before may lack something, and serves until then."""
    it.predictions.answer.set()
    for seconds, lists in ((-5, 1), (0, 1), (30, 2), (3000, 2)):
        it.now = UNTIL + timedelta(seconds=seconds)
        for _ in range(3):
            await it.ask()
        assert len(it.predictions.asked) == lists


async def test_an_older_task_needs_a_longer_list_and_few_do(it):
    """Each goes twice as far back as was asked for, an hour at the most."""
    it.predictions.answer.set()
    assert await it.ask(minutes=1) == ["new"]
    for minutes in range(2, 120):
        assert await it.ask(minutes) == ["new", "old"]
    spans = [(BEGAN - since) // timedelta(minutes=1) for since, _ in it.predictions.asked]
    assert spans == [2, 6, 14, 30, 60]


async def test_a_list_that_failed_is_made_again(it):
    """Whoever waited for it learns why."""
    it.predictions.answer.set()
    it.predictions.failure = StepError("replicate_unavailable", "find", "away")
    for _ in range(2):
        with pytest.raises(StepError, match="away"):
            await it.ask()
    it.predictions.failure = None
    assert await it.ask() == ["new"]


async def test_another_epoch_has_a_list_of_its_own(it):
    """The log may have lost more since."""
    it.predictions.answer.set()
    await it.ask()
    await it.ask(epoch=Epoch(2, uuid4(), survived=9, first=2_000_000, began=BEGAN))
    assert len(it.predictions.asked) == 2
