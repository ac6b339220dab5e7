"""While processes of two versions run, the older ones meet events that only newer ones know."""

from __future__ import annotations

import json
from uuid import UUID

import orjson
from eventsourcing import utils
from eventsourcing.persistence import StoredEvent

from tests.integration.gateway.gateway_under_test import running, speak
from tests.integration.relay.relay_under_test import Broker, queued, relaying, requested
from tests.services.stores import Backend
from tests.waiting import until
from tests.world import open_world
from tts.domain import events
from tts.domain.task import Task
from tts.domain.values import Status
from tts.relay import rescue
from tts.wire import UPDATES

NEWER = "tts.task.sung"


async def sing(store, task_id: UUID, state: bytes = b"{}") -> int:
    """A newer process appends what ours has never heard of."""
    version = len(await store.events(task_id)) + 1
    return await store.append([StoredEvent(task_id, version, NEWER, state)])


class TestGateway:
    async def test_only_the_streams_that_it_belongs_to_end_and_in_front_of_it(self, tmp_path):
        """They skip nothing and are told to come back; all others go on, and health says why."""
        async with running(tmp_path) as its:
            sung, other = await its.post(), await its.post()
            async with (
                its.stream(f"taskId={sung}") as its_own,
                its.stream() as everything,
                its.stream(f"taskId={other}") as of_another,
            ):
                await its_own.updates(1)
                await everything.of("connected")
                position = await sing(its.store, sung)
                for reader in (its_own, everything):
                    *_, last = await reader.rest()
                    assert (last.event, last.data) == ("message", "")  # a `retry:`, no update
                await speak(its.application, other)
                assert (await of_another.updates(8))[-1]["status"] == "succeeded"
            for cursor in (0, position - 1):
                async with its.stream(headers={"Last-Event-ID": str(cursor)}) as reader:
                    seen = [event.json() for event in await reader.rest() if event.event == UPDATE]
                    assert [each["position"] for each in seen] == list(range(cursor + 1, position))
            async with its.stream(headers={"Last-Event-ID": str(position)}) as reader:
                assert [each["taskId"] for each in await reader.updates(7)] == [str(other)] * 7
            health = (await its.client.get("/health")).json()
            assert NEWER in json.dumps(health["data"]["notes"])

    async def test_the_task_itself_is_answered_by_a_newer_one(self, tmp_path):
        """Here it is 503 and worth another try, whether it is looked at or ordered about."""
        async with running(tmp_path) as its:
            task_id = await its.post()
            await sing(its.store, task_id)
            url = f"/api/tts/task/{task_id}"
            answers = [await its.client.get(path) for path in (url, f"{url}/events")]
            body = {"taskId": str(task_id)}
            answers += [await its.client.post(f"/api/tts/{do}", json=body) for do in ORDERS]
            for answer in answers:
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert int(answer.headers["Retry-After"])
            assert await its.post()


UPDATE = "task_update"
ORDERS = ("cancel", "retry")


async def test_the_relay_goes_on(backend: Backend, monkeypatch):
    """With all other tasks at once, and with this one when nothing happens to it any more."""
    monkeypatch.setattr(rescue, "SWEEP_SECONDS", 0.1)
    broker = Broker()
    async with backend.store() as store:
        (sung,) = await requested(store, 1)
        async with relaying(store, broker, watchdog_seconds=0.5):
            await until(lambda: queued(store, sung), "it is queued")
            position = await sing(store, sung)
            (other,) = await requested(store, 1)
            await until(lambda: queued(store, other), "the other one is queued")
            await until(
                lambda: position in {message.position for message in broker.messages},
                "it is rescued like any other",
            )


async def test_a_processor_leaves_the_task_to_a_newer_one(tmp_path, monkeypatch):
    """It works on all others; one that knows the event brings the task to its end."""
    monkeypatch.setattr("tts.processor.processor.BREATHER_SECONDS", 0.05)
    async with open_world(tmp_path, monkeypatch) as world:
        sung = await world.request()
        await sing(world.store, sung.id, orjson.dumps({"timestamp": "2030-01-01T00:00:00+00:00"}))
        other = await world.request("又一句。")
        async with world.working():
            other = await world.ended(other)
            assert len(await world.store.events(sung.id)) == 2

            class Sung(events.Event):
                def apply(self, task: Task) -> None:
                    pass

            monkeypatch.setitem(utils._topic_cache, NEWER, Sung)
            monkeypatch.setitem(UPDATES, NEWER, (Status.STARTING, {}))
            sung = await world.ended(sung)
    assert other.status is sung.status is Status.SUCCEEDED


async def test_a_field_more_disturbs_nobody(world, monkeypatch):
    """The same events with something new in each of them, of a later version of their class."""
    append = world.store.append

    async def append_newer(stored, payload=None):
        return await append([newer(event) for event in stored], payload)

    monkeypatch.setattr(world.store, "append", append_newer)
    task = await world.speak()
    assert task.status is Status.SUCCEEDED
    for event in await world.store.events(task.id):
        assert orjson.loads(event.state)["mood"] == ["merry"]


def newer(event: StoredEvent) -> StoredEvent:
    state = orjson.loads(event.state) | {"mood": ["merry"], "class_version": 2}
    return StoredEvent(
        event.originator_id, event.originator_version, event.topic, orjson.dumps(state)
    )
