"""A log that has gone back, and whatever begins with its first event since."""

from __future__ import annotations

from tests.builders import application, brought
from tests.integration.relay.relay_under_test import Broker, queued, relaying, requested
from tests.services.stores import Backend
from tests.waiting import until
from tts.domain.values import Status
from tts.relay import rescue


async def test_a_relay_finds_its_place_when_the_oldest_task_is_the_first_of_an_epoch(
    backend: Backend, monkeypatch
):
    """A standby that takes over goes on behind what is left of the log, not behind a gap in it."""
    monkeypatch.setattr(rescue, "SWEEP_SECONDS", 0.1)
    broker = Broker()
    async with backend.store() as store:
        (over,) = await requested(store, 1)
        await brought(application(store), over, Status.SUCCEEDED)
        before = await store.position()
        await store.position(before + 5)  # somebody has seen more than is left
        (oldest,) = await requested(store, 1)
        assert await store.position() > before + 1000
        async with relaying(store, broker):
            await until(lambda: queued(store, oldest), "it is queued")

            async def saved() -> bool:
                return await store.checkpoint(rescue.UNFINISHED) >= before

            await until(saved, "where unfinished tasks stand is saved")
        async with relaying(store, broker):
            (newest,) = await requested(store, 1)
            await until(lambda: queued(store, newest), "the next one is queued, too")
