"""A cancellation at every moment of a task's life: one end, and nothing left running upstream."""

import asyncio

import pytest

from tests.waiting import until
from tts.domain.errors import TransitionRefused
from tts.domain.values import FINAL, Status
from tts.processor import stopping

# The appends of a processor: Dequeued, ProcessingStarted, PredictionCreated, DownloadStarted,
# DownloadCompleted, Succeeded.
APPENDS = range(1, 7)
PREDICTION_CREATED, SUCCEEDED = 3, 6
RETRY_SCHEDULED = 2  # where there is no voice


class RacingStore:
    """Has something else happen right before or after a processor's nth append."""

    def __init__(self, store, append: int, moment: str, meanwhile) -> None:
        self._store = store
        self._append = append
        self._moment = moment
        self._meanwhile = meanwhile
        self._appended = 0
        self.raced = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def append(self, events, payload=None):
        """Append, with the other thing before or after it."""
        mine = self._appended + 1 == self._append
        if mine and self._moment == "before":
            await self._race(events)
        position = await self._store.append(events, payload)
        self._appended += 1
        if mine and self._moment == "after":
            await self._race(events)
        return position

    async def _race(self, events):
        if self.raced.is_set():
            return
        await self._meanwhile(events[0].originator_id)
        self.raced.set()


@pytest.mark.parametrize("append", APPENDS)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_cancellation_that_races_an_append_leads_to_one_end(world, append, moment):
    """Whichever is first, the task ends once, as the log says, and no prediction goes on."""
    if append <= PREDICTION_CREATED:
        await world.fault("prediction", "stuck")  # it would run for ever if nobody stopped it
    too_late = []

    async def cancel(task_id):
        try:
            await world.application.cancel(task_id, by="me", reason="a race")
        except TransitionRefused:
            too_late.append(task_id)

    store = RacingStore(world.store, append, moment, cancel)
    async with world.working(store):
        task = await world.request()
        await until(store.raced.is_set, "both have happened")
        task = await world.ended(task)
    statuses = await world.statuses(task)
    assert [status for status in statuses if status in FINAL] == [statuses[-1]]
    assert task.status is (Status.SUCCEEDED if too_late else Status.CANCELED)
    assert await world.running() == []
    assert await world.creations() <= 1


async def test_what_a_dead_worker_had_stored_is_removed(world, tmp_path):
    """It died between the audio store and the log, and then the task was canceled."""
    dead = asyncio.Event()

    async def die(_task_id):
        dead.set()
        await asyncio.Event().wait()

    async with world.working(RacingStore(world.store, SUCCEEDED, "before", die)):
        task = await world.request()
        await until(dead.is_set, "the worker dies")
    assert list((tmp_path / "audio").iterdir())
    await world.application.cancel(task.id, by="me", reason="")
    async with world.working():
        task = await world.ended(task)
    assert task.status is Status.CANCELED
    assert not list((tmp_path / "audio").iterdir())


async def test_a_task_that_waits_for_its_retry_is_canceled_at_once(world):
    """The message that comes when the delay is over finds it so, and does nothing."""
    await world.fault("template_transcript", "status", args={"status": 503})
    canceled = []

    async def cancel(task_id):
        task, _ = await world.application.cancel(task_id, by="me", reason="")
        canceled.append(task.status)

    async with world.working(RacingStore(world.store, RETRY_SCHEDULED, "after", cancel)):
        task = await world.request()
        await until(lambda: canceled, "it is canceled while it waits")
        assert canceled == [Status.CANCELED]
        other = await world.request()  # its delays are as long

        async def has_come_twice():
            return (await world.statuses(other)).count("waiting_retry") >= 2

        await until(has_come_twice, "another task waits for its second retry")
    assert (await world.statuses(task))[-2:] == ["canceling", "canceled"]


async def test_a_cancellation_is_confirmed_even_if_upstream_stays_silent(world, monkeypatch):
    """What may run on there ends by itself, because it was created with a limit of its own."""
    monkeypatch.setattr(stopping, "CANCEL_PAUSE_SECONDS", 0.02)
    await world.fault("prediction", "stuck")
    await world.fault("cancel", "status", args={"status": 503})
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        await world.application.cancel(task.id, by="me", reason="")
        task = await world.ended(task)
    assert task.status is Status.CANCELED
