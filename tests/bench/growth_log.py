"""A log of some length, with lives as tasks have them: most succeed, few fail, a voice is rare."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random

from eventsourcing.persistence import StoredEvent

from projections.database import open_database
from tests.builders import NOW, bring, fail
from tests.histories import new_task, stored
from tests.read_models import projecting
from tests.services.stores import Backend, Store
from tests.waiting import until
from tts.callbacks import callbacks
from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.log import Payload
from tts.relay import relay, rescue

AT_ONCE = 400  # appends in one commit
SECONDS = 1800  # until the read models of the longest log are given up
FAILED, CANCELED, RARE = 50, 100, 2000  # one in so many tasks
RARE_TEMPLATE = "rare"
TEXT = "你好，欢迎使用语音合成服务。今天天气很好，我们一起去公园散步吧。"


async def fill(backend: Backend, events: int) -> int:
    """Write at least so many events and bring the read models up to date; how many tasks it were.

    Relay, callbacks and read models have seen it all, as in a service that has run for long.
    """
    random, tasks = Random(events), 0
    async with backend.store() as store:
        while (end := await store.position()) < events:
            batch = [_life(random, tasks + n) for n in range(AT_ONCE)]
            await asyncio.gather(*(_append(store, life) for life in batch))
            tasks += len(batch)
        for name in (relay.NAME, rescue.UNFINISHED, callbacks.NAME):
            await store.save_checkpoint(name, end)
        async with open_database(backend.url) as database, projecting(store, database) as projector:
            await until(lambda: projector.position >= end, "the read models are there", SECONDS)
    return tasks


def _life(random: Random, number: int) -> list[StoredEvent]:
    now: datetime = NOW + timedelta(milliseconds=50 * number)
    template = RARE_TEMPLATE if number % RARE == 1 else f"t{number % 5}"
    task: Task = new_task(random, now=now, owner=f"owner{number % 20}", template_id=template)
    if number % FAILED == 1:
        fail(task, now=now)
    elif number % CANCELED == 2:
        task.request_cancel(by="somebody", reason="enough", now=now)
    else:
        bring(task, Status.SUCCEEDED, now=now)
    return stored(task)


async def _append(store: Store, life: list[StoredEvent]) -> None:
    await store.append(life, Payload(TEXT, "", "0" * 32))
