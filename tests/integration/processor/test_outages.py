"""Outages of what tasks need: they cost no attempt and no second payment, however long they last.

The audio store is a real one behind a link that is cut; Replicate and the templates' host are the
sandbox. What takes minutes in production takes seconds here.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import orjson
import pytest

from tests.services.link import Link
from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import SECONDS, until
from tests.world import PATIENCE, SEGMENT_MAX_CHARS, VERSION, World, open_world
from tts.audio.minio import MinioAudio
from tts.domain import retry
from tts.domain.task import Task
from tts.domain.values import Status
from tts.gate import state, storing
from tts.processor import claimed_task, polling, stopping

TASKS = 40
LONG = "。".join("这是一句很长的话，它要说很久" for _ in range(4 * SEGMENT_MAX_CHARS // 14)) + "。"
HANDS = 16
SOON = 2 * SECONDS
SLOW = 600.0  # seconds of a prediction that ends when the test says so
RETENTION = 3600.0  # seconds for which Replicate keeps an output
DEADLINE = timedelta(hours=1)  # of a task


@pytest.fixture
async def world(tmp_path, monkeypatch) -> AsyncIterator[World]:
    monkeypatch.setattr(storing, "FRESH_SECONDS", 0.2)
    monkeypatch.setattr(storing, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(storing, "LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(storing, "LOOK_SECONDS", 1.0)
    monkeypatch.setattr(retry, "PAUSE_SECONDS", (0.1, 0.4))
    async with open_world(tmp_path, monkeypatch) as world:
        world.change(task_deadline_seconds=int(DEADLINE.total_seconds()))
        yield world


@pytest.fixture
def link(s3):
    with Link(int(s3.endpoint.rpartition(":")[2])) as link:
        yield link


@pytest.fixture
def name() -> str:
    """That of a bucket."""
    return f"outage-{os.urandom(4).hex()}"


@pytest.fixture
async def bucket(world, link, s3, name) -> AsyncIterator[Link]:
    """The world's audio lies in a bucket of its own behind the link."""
    world.audio = MinioAudio(
        f"127.0.0.1:{link.port}",
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        bucket=name,
        threads=HANDS,
    )
    await world.audio.ensure_bucket()
    return link


async def requested(world: World, count: int) -> list[Task]:
    """New tasks that say different things."""
    return [await world.request(f"第{n}句。") for n in range(count)]


async def stand_still(world: World, seconds: float = 1.0) -> None:
    """Return when no event has come for so long."""
    position, since = -1, time.monotonic()

    async def still():
        nonlocal position, since
        if (now := await world.store.position()) != position:
            position, since = now, time.monotonic()
        return time.monotonic() - since >= seconds

    await until(still, "nothing moves any more")


async def all_succeed(world: World, tasks: list[Task]) -> None:
    """Each task succeeds soon, at its first attempt, and was paid for once a segment."""
    async with asyncio.timeout(SOON):
        ends = [await world.ended(task, SOON) for task in tasks]
    assert {task.status for task in ends} == {Status.SUCCEEDED}
    assert {task.attempt for task in ends} == {1}
    assert await world.creations() == sum(len(task.segments) for task in ends)
    assert not world.queue.dead_letters


async def failures(world: World, task: Task) -> list[str]:
    """The codes that the task's log names."""
    events = await world.store.events(task.id)
    ends = {Task.RetryScheduled.TOPIC, Task.Failed.TOPIC}
    return [orjson.loads(event.state)["code"] for event in events if event.topic in ends]


async def comes_again(world: World, task: Task) -> None:
    """Return when two more attempts of the task have failed."""
    before = len(await failures(world, task))

    async def twice() -> bool:
        return len(await failures(world, task)) >= before + 2

    await until(twice, "the task comes again and again")


def kept(world: World) -> list[str]:
    """What lies in the data folder for a store that is away."""
    folder = world.settings.data_dir / "work"
    return [path.name for path in folder.glob("kept-*") if path.suffix != ".part"]


class TestTheAudioStore:
    async def test_forty_tasks_outlast_it(self, world, bucket):
        """None fails or is paid for twice, and all have succeeded soon after its return."""
        async with world.working(concurrency=HANDS):
            first = await requested(world, 1)
            await all_succeed(world, first)
            await world.behave(predict_seconds=SLOW)
            tasks = await requested(world, TASKS)

            async def all_hands_are_full() -> bool:
                return len(await world.running()) == HANDS

            await until(all_hands_are_full, "as many as can be are spoken")
            await world.behave(predict_seconds=0.1)
            bucket.refuse()
            world.replicate_ahead += SLOW
            await until(lambda: len(kept(world)) == HANDS, "what is spoken is kept")
            await asyncio.sleep(2)  # what an outage might do
            assert await world.creations() == 1 + HANDS
            bucket.heal()
            await all_succeed(world, [*first, *tasks])
            assert kept(world) == []

    @pytest.mark.parametrize("trouble", ["refuse", "hang_up", "swallow"])
    async def test_nothing_is_paid_for_when_it_was_away_before(self, world, bucket, trouble):
        """The first task waits for it."""
        getattr(bucket, trouble)()
        async with world.working():
            task = await world.request()
            await world.reached(task, Status.DEQUEUED)
            await stand_still(world)
            assert await world.creations() == 0
            bucket.heal()
            await all_succeed(world, [task])

    async def test_parts_of_long_texts_wait_for_it_too(self, world, bucket):
        """Beside short ones; what is spoken is not spoken again."""
        async with world.working():
            await world.behave(predict_seconds=SLOW)
            tasks = [await world.request(LONG), *await requested(world, 3)]
            assert len((await world.application.load(tasks[0].id))[0].segments) > 3
            for task in tasks:
                await world.reached(task, Status.PREDICTION_CREATED)
            await world.behave(predict_seconds=0.1)
            bucket.refuse()
            world.replicate_ahead += SLOW
            await stand_still(world)
            bucket.heal()
            await all_succeed(world, tasks)
            assert kept(world) == []

    async def test_the_deadline_passes_meanwhile(self, world, bucket):
        """What is paid for and finished is delivered; what is not paid for ends in time."""
        async with world.working(concurrency=1):
            await all_succeed(world, [await world.request()])
            await world.behave(predict_seconds=SLOW)
            paid, unpaid = await requested(world, 2)
            await world.reached(paid, Status.PREDICTION_CREATED)
            bucket.refuse()
            world.replicate_ahead += SLOW
            await world.reached(paid, Status.DOWNLOAD_COMPLETE)
            world.ahead = DEADLINE
            await asyncio.sleep(1)  # what might be done about it
            bucket.heal()
            paid, unpaid = await world.ended(paid), await world.ended(unpaid)
            assert (paid.status, paid.attempt) == (Status.SUCCEEDED, 1)
            assert (unpaid.status, unpaid.error.code) == (Status.FAILED, "deadline_exceeded")
            assert await world.creations() == 2

    async def test_an_attempt_that_ends_meanwhile_goes_on_later(self, world, bucket, monkeypatch):
        """A message cannot be held for ever: it comes again, with what is kept."""
        monkeypatch.setattr(claimed_task, "HELD_FOR", timedelta(seconds=0.5))
        async with world.working():
            await all_succeed(world, [await world.request()])
            await world.behave(predict_seconds=SLOW)
            task = await world.request("再来。")
            await world.reached(task, Status.PREDICTION_CREATED)
            bucket.refuse()
            world.replicate_ahead += SLOW
            await world.reached(task, Status.DOWNLOAD_COMPLETE)
            world.replicate_ahead += RETENTION
            await comes_again(world, task)
            world.ahead = DEADLINE
            await comes_again(world, task)
            assert len(kept(world)) == 1
            bucket.heal()
            task = await world.ended(task)
            assert (task.status, task.attempt) == (Status.SUCCEEDED, 1)
            assert set(await failures(world, task)) == {"audio_unavailable"}
            assert await world.creations() == 2
            assert kept(world) == []

    async def test_who_cancels_does_not_wait_for_it(self, world, bucket, monkeypatch):
        """A task that waits with its audio, one that waits to be spoken, and one in the queue."""
        monkeypatch.setattr(stopping, "CANCEL_PAUSE_SECONDS", 0.05)
        async with world.working(concurrency=2) as processor:
            await world.behave(predict_seconds=SLOW)
            spoken = await world.request()
            await world.reached(spoken, Status.PREDICTION_CREATED)
            bucket.refuse()
            world.replicate_ahead += SLOW
            await world.reached(spoken, Status.DOWNLOAD_COMPLETE)
            await until(lambda: processor._resources.storing.away, "it is known")
            tasks = [spoken, *await requested(world, 2)]
            await world.reached(tasks[1], Status.DEQUEUED)
            for task in reversed(tasks):
                await world.application.cancel(task.id, by="me", reason="no more")
            for task in tasks:
                assert (await world.ended(task)).status is Status.CANCELED
            assert await world.creations() == 1
            assert kept(world) == []

    @pytest.mark.usefixtures("bucket")
    async def test_one_audio_that_it_never_takes_holds_up_nobody(self, world, monkeypatch):
        """It uses its attempts up, and the others succeed meanwhile."""
        put = MinioAudio.put

        async def refusing(audio, key, data, content_type):
            if str(cursed.id) in key:
                raise storing.StepError("audio_unavailable", "audio", "500 for this one")
            await put(audio, key, data, content_type)

        cursed = await world.request("这一句。")
        monkeypatch.setattr(MinioAudio, "put", refusing)
        monkeypatch.setattr(storing, "TRIAL_SECONDS", 0.3)
        async with world.working():
            others = []

            async def over():
                others.append(await world.request(f"第{len(others)}句。"))
                await asyncio.sleep(0.3)
                return (await world.application.load(cursed.id))[0].final

            await until(over, "the one is given up", seconds=120)
            cursed = await world.ended(cursed)
            assert (cursed.status, cursed.error.code) == (Status.FAILED, "audio_failed")
            for task in others:
                assert (await world.ended(task)).status is Status.SUCCEEDED
            assert await world.creations() == 1 + len(others)

    async def test_a_process_that_is_killed_meanwhile_pays_for_nothing_again(
        self, world, bucket, s3, name
    ):
        """Even when Replicate has removed the outputs by then."""
        await world.behave(predict_seconds=SLOW)
        env = {
            "DATA_DIR": str(world.settings.data_dir),
            "PORT": str(free_port()),
            "REPLICATE_BASE_URL": world.sandbox.url,
            "REPLICATE_API_TOKEN": "any",
            "REPLICATE_MODEL_VERSION": VERSION,
            "TEMPLATE_BASE_URL": world.sandbox.url,
            **s3.settings,
            "MINIO_ENDPOINT": f"127.0.0.1:{bucket.port}",
            "MINIO_BUCKET": name,
        }
        service = Tts("up", env=env)
        try:
            service.wait_for(f"http://127.0.0.1:{env['PORT']}/health")
            tasks = await requested(world, 6)
            for task in tasks:
                await world.reached(task, Status.PREDICTION_CREATED)
            bucket.refuse()
            world.replicate_ahead += SLOW
            await until(lambda: len(kept(world)) == 6, "all audio is kept")
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:

                async def notes() -> list[str]:
                    health = await http.get(f"http://127.0.0.1:{env['PORT']}/health")
                    found = health.json()["data"].get("notes", [])
                    return [note for note in found if "6 pieces of work wait" in note]

                (note,) = await until(notes, "health says so")
            assert "The audio store is away since" in note
        finally:
            service.kill()
        world.replicate_ahead += RETENTION
        async with world.working(worker="w2"):
            await stand_still(world)
            bucket.heal()
            await all_succeed(world, tasks)
            assert kept(world) == []


def away(*routes: str, **args: object) -> list[dict]:
    """Nobody answers there, or what ``args`` say."""
    kind = "status" if args else "reset_before"
    return [{"route": route, "fault": kind, "args": args} for route in routes]


REPLICATE = ("create", "list", "get", "cancel")
SERVICES = {
    "the templates' host": away("template_audio", "template_transcript"),
    "the templates' host, busy": away("template_audio", status=503),
    "Replicate": away(*REPLICATE),
    "Replicate, behind a proxy": away(*REPLICATE, status=502),
    "Replicate, by its own words": away(*REPLICATE, status=503),
    "Replicate's outputs": away("delivery"),
    "Replicate's outputs, busy": away("delivery", status=429),
}


class TestOthers:
    @pytest.mark.parametrize("rules", SERVICES.values(), ids=SERVICES)
    async def test_tasks_outlast_them(self, world, rules, monkeypatch):
        """Many more tries than attempts are over when it comes back."""
        monkeypatch.setattr(polling, "POLL_FAILURES", 2)
        monkeypatch.setattr(state, "PAUSE_CAP_SECONDS", 0.3)
        for rule in rules:
            await world.inject(rule)
        async with world.working():
            tasks = await requested(world, 4)

            async def tried():
                return sum([len(await failures(world, task)) for task in tasks]) > 3 * len(tasks)

            await until(tried, "each was tried again and again")
            assert {(await world.application.load(t.id))[0].final for t in tasks} == {False}
            await world.heal()
            await all_succeed(world, tasks)

    @pytest.mark.parametrize("routes", [("get", "cancel"), ("delivery",)], ids=["API", "outputs"])
    async def test_what_is_paid_for_outlasts_its_deadline(self, world, routes, monkeypatch):
        """It is fetched when somebody answers again."""
        monkeypatch.setattr(polling, "POLL_FAILURES", 2)
        for rule in away(*routes):
            await world.inject(rule)
        async with world.working():
            tasks = await requested(world, 3)
            for ahead in (timedelta(0), DEADLINE):
                world.ahead = ahead
                for task in tasks:
                    await comes_again(world, task)
            await world.heal()
            await all_succeed(world, tasks)

    async def test_what_is_not_paid_for_ends_at_its_deadline(self, world, monkeypatch):
        """It names what it waited for."""
        world.change(retry_max_interval_ms=int(DEADLINE.total_seconds() * 1000))
        for rule in away("template_audio"):
            await world.inject(rule)
        async with world.working():
            task = await world.request()
            await comes_again(world, task)
            # From now on half an hour is left, and the next try would come later than that.
            world.ahead = DEADLINE / 2
            monkeypatch.setattr(retry, "PAUSE_SECONDS", (DEADLINE.total_seconds(),) * 2)
            task = await world.ended(task)
        assert (task.status, task.error.code) == (Status.FAILED, "deadline_exceeded")
        assert "template_unavailable" in task.error.message
        assert await world.creations() == 0
