"""A relay that begins with a long log and no checkpoint: new work does not wait for the old."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.builders import application, brought, failed
from tests.integration.relay.relay_under_test import Broker, queued, relaying, requested
from tests.services.stores import Store
from tests.waiting import until
from tts.domain.values import Status
from tts.ports.log import Recorded
from tts.ports.queue import Destination
from tts.relay import relay as relays


class Library:
    """A store whose log is read when the test says so, and which counts what was read of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_open = asyncio.Event()
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, *arguments: Any) -> list[Recorded]:
        """Read, when it is open."""
        await self.is_open.wait()
        rows = await self._store.read(*arguments)
        self.rows += len(rows)
        return rows


async def test_new_work_is_served_while_the_past_is_looked_at(backend, monkeypatch):
    """Health says so; then each task of before gets its one message, and none that is over."""
    monkeypatch.setattr(relays, "RECALL_SECONDS", 0)
    monkeypatch.setattr(relays, "CHECKPOINT_SECONDS", 0.01)
    broker = Broker()
    async with backend.store() as store:
        app, library = application(store), Library(store)
        old, given_up, dead, over = await requested(store, 4)
        await failed(app, dead)
        await brought(app, over, Status.SUCCEEDED)
        async with relaying(library, broker) as relay:
            await until(lambda: relay._followed, "it knows where the past ends")
            (new,) = await requested(store, 1)
            await until(lambda: queued(store, new), "the new one is queued")
            await app.cancel(given_up, by="me", reason="")
            await until(lambda: given_up in broker.tasks(), "the cancellation is sent")
            assert broker.tasks() == [new, given_up]
            assert "recalling" in relay.notes()[0]
            assert await store.checkpoint(relays.NAME) == 0  # whoever is next begins there as well

            library.is_open.set()
            await until(lambda: not relay.notes(), "the past is known")
            await until(lambda: queued(store, old), "the old one is queued")

            async def saved() -> bool:
                return await store.checkpoint(relays.NAME) == relay.position > 0

            await until(saved, "a checkpoint is saved")
    assert broker.tasks() == [new, given_up, old]
    assert broker.tasks(Destination.DEAD_LETTER) == [dead]


async def test_a_rebuild_reads_the_log_once(backend):
    """The relay that begins behind it starts where the oldest unfinished task stands."""
    broker = Broker()
    async with backend.store() as store:
        app, library = application(store), Library(store)
        library.is_open.set()
        for task in await requested(store, 20):
            await app.cancel(task, by="me", reason="")
        dead, waiting = await requested(store, 2)
        await failed(app, dead)
        await brought(app, waiting, Status.QUEUED)
        length = len(await store.read(0, 1000))
        async with relaying(library, broker, rebuild=True) as relay:
            await until(lambda: relay.leading and not relay.notes(), "the past is known")
        assert library.rows < 1.5 * length
    assert broker.tasks() == [waiting]
    assert broker.tasks(Destination.DEAD_LETTER) == [dead]
