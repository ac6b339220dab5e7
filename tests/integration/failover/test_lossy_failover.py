"""A standby takes over that had not heard of the last commits, while everything runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from projections.database import open_database
from projections.task_queries import TaskQueries
from tests.builders import application
from tests.integration.gateway.gateway_under_test import running, speak
from tests.integration.relay.relay_under_test import Broker, queued, relaying, requested
from tests.read_models import caught_up, projecting
from tests.services.postgres_pair import PostgresPair
from tests.services.stores import Backend
from tests.waiting import until
from tts.ports.epochs import WentBack

pytestmark = pytest.mark.cluster


async def everything(database, sql="SELECT task_id, status, position FROM read_tasks ORDER BY 1"):
    return await database.fetch(sql)


async def test_relay_and_read_models_start_over_where_the_log_ends(postgres_pair: PostgresPair):
    """Tasks from before go on, those that are lost are in no list, and new ones are queued."""
    pair = postgres_pair
    backend = Backend(pair.create_database())
    broker = Broker()
    async with (
        backend.store() as store,
        open_database(backend.url) as database,
        relaying(store, broker),
        projecting(store, database) as projector,
    ):
        before = await requested(store, 5)
        await until(lambda: queued(store, before[-1]), "they are queued")
        await caught_up(store, database)
        pair.catch_up()
        pair.link.refuse()
        lost = await requested(store, 20)
        await until(lambda: queued(store, lost[-1]), "those are queued, too")
        await caught_up(store, database)
        seen = await store.position()
        await asyncio.to_thread(pair.fail_over)

        app = application(store)
        after = await until(lambda: accepted(app), "a task is accepted again")
        await until(lambda: queued(store, after), "the relay goes on")
        await caught_up(store, database)
        await projector.ready()
        rows = await everything(database)
        assert {row[0] for row in rows} == {str(task_id) for task_id in [*before, after]}
        assert max(row[2] for row in rows) > seen
        with pytest.raises(WentBack):
            await store.read(seen, 1)
        counts = await TaskQueries(database).counts()
        assert sum(counts.values()) == len(rows)
        assert broker.tasks().count(after) >= 1


async def accepted(app):
    try:
        task, _ = await app.request(template_id="t", text="after")
    except Exception:  # noqa: BLE001 -- while nobody takes writes
        return None
    return task.id


async def test_streams_are_reset_where_their_readers_saw_what_is_lost(
    postgres_pair: PostgresPair, tmp_path: Path
):
    """Whoever saw nothing of it goes on without a gap; nobody is left in silence."""
    pair = postgres_pair
    async with running(
        tmp_path, event_store_url=pair.create_database(), sse_heartbeat_interval_ms=500
    ) as its:
        await speak(its.application, await its.post())
        kept = str(await its.store.position())
        pair.catch_up()
        pair.link.refuse()
        async with its.stream() as reader:
            await speak(its.application, await its.post())
            await reader.updates(8)
            lost = str(await its.store.position())
            await asyncio.to_thread(pair.fail_over)
            await reader.rest()  # it is sent away

        async def there() -> bool:
            return (await its.client.post("/api/tts", json=BODY)).status_code == 202

        await until(there, "tasks are accepted again")
        position = await its.store.position()
        async with its.stream(headers={"Last-Event-ID": lost}) as reader:
            reset = (await reader.of("reset")).json()
            assert (reset["reason"], reset["requested"]) == ("future", lost)
            assert reset["position"] == position
        async with its.stream(headers={"Last-Event-ID": kept}) as reader:
            (update,) = await reader.updates(1)
            assert update["position"] == position
        assert position > 10**15


BODY = {"templateId": "template1", "tts_text": "你好"}
