"""An Idempotency-Key stands for one task, at every gateway, and tells nobody else anything."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, nullcontext

import pytest

from tests.builders import application
from tests.services.stores import Backend
from tts.application.tasks import IdempotencyMismatch
from tts.domain.naming import Lot, idempotent_task_id, idempotent_task_id_before
from tts.domain.task import Task

REQUEST = {"template_id": "t1", "text": "你好", "owner": "shop", "idempotency_key": "order-1"}


async def requested(store) -> Task:
    """The task of the one request."""
    receipt, _ = await application(store).request(**REQUEST)
    return (await application(store).load(receipt.id))[0]


async def test_all_processes_of_a_log_share_one_secret(backend):
    """However many start at once; and it is the same after a restart."""
    async with AsyncExitStack() as stack:
        stores = [stack.enter_async_context(backend.store()) for _ in range(5)]
        found = [await store.secret() for store in await asyncio.gather(*stores)]
    assert len(set(found)) == 1
    async with backend.store() as store:
        assert await store.secret() == found[0]
    assert len(found[0].key) == 32
    assert found[0].key.hex() not in repr(found[0])


async def test_a_repeated_request_gets_its_task_at_another_gateway(backend):
    """Also after a restart, and nothing is accepted twice."""
    async with backend.store() as one, backend.store() as other:
        task, repeated = await requested(one), await requested(other)
        assert repeated == task
    async with backend.store() as store:
        assert await requested(store) == task
        assert len(await store.read(0, 10)) == 1


@pytest.mark.parametrize(
    ("first", "second", "default", "is_same"),
    [
        ("mp3", "mp3", "wav", True),
        ("mp3", "opus", "wav", False),
        ("mp3", None, "wav", False),
        (None, "mp3", "wav", False),
        (None, "wav", "wav", True),
        (None, None, "mp3", True),  # the setting changed between
        ("opus", None, "opus", True),
    ],
)
async def test_another_format_is_another_request(tmp_path, first, second, default, is_same):
    """It is refused, and not answered with audio that the client cannot play."""
    async with Backend(f"sqlite:///{tmp_path}/tts.db").store() as store:
        receipt, _ = await application(store).request(**REQUEST, audio_format=first)
        again = application(store, default_format=default)
        with nullcontext() if is_same else pytest.raises(IdempotencyMismatch):
            assert (await again.request(**REQUEST, audio_format=second))[0] == receipt


async def test_neither_id_nor_audio_can_be_told_from_owner_and_key(backend):
    """Who knows both, and the source, still lacks the secret and what was drawn."""
    async with backend.store() as store:
        task = await requested(store)
        secret = await store.secret()
    before = idempotent_task_id_before("shop", "order-1")
    assert task.id not in {before, idempotent_task_id(b"another secret", "shop", "order-1")}
    assert task.id == idempotent_task_id(secret.key, "shop", "order-1")
    assert task.id.version == 8
    suffix = task.audio_key.removeprefix(f"audio-{task.id}-").removesuffix(".wav")
    assert int(suffix, 16) > 0
    assert len(suffix) * 4 >= 64
    assert suffix in task.part_key(3)


async def test_a_log_that_began_with_its_secret_is_asked_once(backend, monkeypatch):
    """Only in one that is older can a task stand under the id that everybody could tell."""
    async with backend.store() as store:
        assert (await store.secret()).position == 0
        await requested(store)
    async with backend.store() as store:
        assert (await store.secret()).position == 0
        loads = []
        events = store.events

        async def counted(task_id):
            loads.append(task_id)
            return await events(task_id)

        monkeypatch.setattr(store, "events", counted)
        repeated = await requested(store)
        assert set(loads) == {repeated.id}


async def test_a_restored_backup_knows_its_keys_again(backend: Backend, tmp_path):
    """The secret is in it, and what a key stands for."""
    async with backend.store() as store:
        task = await requested(store)
    async with backend.restored(tmp_path).store() as store:
        assert await requested(store) == task
        assert len(await store.read(0, 10)) == 1


def test_what_is_drawn_for_a_request_is_drawn_anew_for_the_next():
    """Ids are UUIDv7, in the order of their making but for the same millisecond."""
    lots = [Lot.draw() for _ in range(1000)]
    for kind in ("task_id", "salt", "audio_suffix"):
        assert len({getattr(lot, kind) for lot in lots}) == 1000
    assert {lot.task_id.version for lot in lots} == {7}
    assert {lot.task_id.variant for lot in lots} == {"specified in RFC 4122"}
    times = [lot.task_id.int >> 80 for lot in lots]
    assert times == sorted(times)


def test_a_child_process_draws_other_lots_than_its_parent():
    """What was drawn in stock before a fork belongs to the parent alone."""
    Lot.draw()  # so that there is a stock
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, Lot.draw().salt.encode())
        os._exit(0)
    os.waitpid(child, 0)
    salt = os.read(receiving, 100).decode()
    os.close(receiving)
    os.close(sending)
    assert salt not in {Lot.draw().salt for _ in range(1000)}
