"""What the event store promises when its log goes back, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from tests.services.stores import Backend, Store
from tests.waiting import SECONDS
from tts.ports.epochs import WentBack
from tts.store import tailer


def some(task_id: UUID, *versions: int) -> list[StoredEvent]:
    return [StoredEvent(task_id, version, "tts.task.queued", b"{}") for version in versions]


async def lose(store: Store, count: int) -> int:
    """Where the log would end if it had not lost so many events."""
    return await store.position() + count


async def test_a_new_log_has_lost_nothing(store):
    """Its positions are small, and every process knows the same epoch."""
    assert await store.append(some(uuid4(), 1, 2)) == 2
    assert await store.position(2) == 2
    assert (store.epochs.newest.number, store.epochs.newest.first) == (0, 0)


async def test_positions_are_never_given_twice(backend, store):
    """Behind a loss they go on far above; whoever reads anything from there knows of the loss."""
    await store.append(some(uuid4(), 1, 2, 3))
    async with backend.store() as other:
        await store.position(await lose(store, 5))
        new = await store.append(some(uuid4(), 1, 2))
        assert new > 10**9
        assert await store.append(some(uuid4(), 1)) == new + 1
        assert [r.position for r in await other.read(0, 10)] == [1, 2, 3, new - 1, new, new + 1]
        assert other.epochs.newest == store.epochs.newest
        assert (other.epochs.newest.survived, other.epochs.newest.first) == (3, new - 1)
        assert await other.position() == new + 1


async def test_a_loss_is_noticed_once(backend, store):
    """However many have seen what is gone, and from whichever position of it they tell."""
    await store.append(some(uuid4(), 1, 2, 3))
    seen = await lose(store, 5)
    async with backend.store() as other:
        await asyncio.gather(*(s.position(seen - n) for s in (store, other) for n in range(5)))
        await store.append(some(uuid4(), 1))
        await other.position(seen)
        await other.read(0, 10)
        assert other.epochs.newest.number == 1


async def test_losses_can_follow_each_other(store):
    """Each leaves a range of its own that is gone."""
    for number in (1, 2, 3):
        await store.append(some(uuid4(), 1, 2))
        seen = await lose(store, 3)
        await store.position(seen)
        assert store.epochs.newest.number == number
        with pytest.raises(WentBack):
            await store.read(seen, 10)


async def test_a_read_behind_what_is_gone_says_so(store, caplog):
    """Once there is a warning, which says how many positions are gone."""
    await store.append(some(uuid4(), 1, 2, 3))
    seen = await lose(store, 5)
    await store.position(seen)
    for _ in range(2):
        with pytest.raises(WentBack) as caught:
            await store.read(seen, 10)
        assert (caught.value.survived, caught.value.seen) == (3, seen)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [w.split(":")[1].split(" are")[0] for w in warnings] == [" 5 positions behind 3"]
    assert await store.read(3, 10) == []


async def test_a_follower_of_what_is_gone_is_told(store):
    """One that has seen nothing of it goes on as if nothing had been."""
    await store.append(some(uuid4(), 1, 2, 3))
    whole, ahead = store.follow(3), store.follow(await lose(store, 5))
    with pytest.raises(WentBack):
        async with asyncio.timeout(SECONDS):
            await anext(ahead)
    new = await store.append(some(uuid4(), 1))
    async with asyncio.timeout(SECONDS):
        assert [r.position for r in await anext(whole)] == [new]


async def test_a_quiet_follower_notices_by_itself(backend, monkeypatch):
    """Nobody has to append anything, or to tell it."""
    monkeypatch.setattr(tailer, "SAFETY_POLL_SECONDS", 0.05)
    async with backend.store() as store:
        await store.append(some(uuid4(), 1, 2, 3))
        follower = store.follow(0)
        await anext(follower)
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        backend.sql("DELETE FROM stored_events WHERE originator_version > 1 RETURNING 1")
        with pytest.raises(WentBack) as caught:
            async with asyncio.timeout(SECONDS):
                await waiting
        assert (caught.value.survived, caught.value.seen) == (1, 3)


async def test_who_knows_what_is_gone_saves_no_checkpoint(store):
    """It may be based on that, even where its own position is left."""
    await store.append(some(uuid4(), 1, 2, 3))
    await store.save_checkpoint("relay", 1)
    seen = await lose(store, 5)
    await store.position(seen)
    with pytest.raises(WentBack):
        await store.save_checkpoint("relay", 2, seen=seen)
    with pytest.raises(WentBack):
        await store.save_checkpoint("relay", seen)
    assert await store.checkpoint("relay") == 1
    await store.save_checkpoint("relay", 2, seen=3)
    assert await store.checkpoint("relay") == 2


async def test_a_task_whose_end_is_gone_goes_on_from_what_is_left(store):
    """The next append demands the version before it."""
    task = uuid4()
    await store.append(some(task, 1, 2))
    await store.position(await lose(store, 5))
    assert await store.append(some(task, 3)) > 10**9
    assert [r.version for r in await store.events(task)] == [1, 2, 3]


async def test_an_older_copy_of_the_file_is_noticed(tmp_path):
    """By whoever remembers how far it went."""
    backend = Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    async with backend.store() as store:
        await store.append(some(uuid4(), 1))
    copy = backend.path.read_bytes()
    async with backend.store() as store:
        seen = await store.append(some(uuid4(), 1, 2))
    backend.path.write_bytes(copy)
    async with backend.store() as store:
        with pytest.raises(WentBack):
            await anext(store.follow(seen))
        assert await store.append(some(uuid4(), 1)) > seen + 10**9


async def test_a_promotion_is_a_new_epoch(postgres):
    """Another incarnation of the server is trusted to have nothing that is not there."""
    backend = Backend(postgres.create_database(), postgres)
    async with backend.store() as store:
        await store.append(some(uuid4(), 1, 2, 3))
    backend.sql("UPDATE log_epochs SET incarnation = 'the primary of before' RETURNING 1")
    async with backend.store() as store:
        assert await store.position() == 3
        assert (store.epochs.newest.number, store.epochs.newest.survived) == (1, 3)
        assert await store.append(some(uuid4(), 1)) == store.epochs.newest.first
