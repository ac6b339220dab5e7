"""The processor at work: real store, queue, adapters and audio; Replicate is the sandbox."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tts import search, steps
from tts.application import Application
from tts.audio.folder import FolderAudio
from tts.audio.inspect import inspect
from tts.domain import FINAL, Status, Task
from tts.outside import Outside
from tts.ports import Destination, Message
from tts.processor import Processor
from tts.queue.memory import MemoryQueue
from tts.relay import Relay
from tts.replicate_api import ReplicatePredictions
from tts.retry import RetryPolicy
from tts.sandbox import Behaviour, start_sandbox
from tts.store.sqlite import SQLiteStore
from tts.templates import HttpTemplates
from tts.wire import UPDATES

VERSION = "0" * 64
TEXT = "你好。"
THE_WAY = [
    "starting",
    "queued",
    "dequeued",
    "processing",
    "prediction_created",
    "downloading",
    "download_complete",
    "succeeded",
]


class Crash(BaseException):
    """The process dies here."""


class CrashingStore:
    """Dies before or after its nth append, as often as it is asked to append from then on."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store
        self.events = store.events
        self.payload = store.payload
        self.crash_before: int | None = None
        self.crash_after: int | None = None
        self.dead = asyncio.Event()
        self._asked = self._appended = 0

    async def append(self, events, payload=None):
        """Append, or die."""
        self._asked += 1
        if self._asked == self.crash_before:
            await self._die()
        position = await self._store.append(events, payload)
        self._appended += 1
        if self._appended == self.crash_after:
            await self._die()
        return position

    async def _die(self):
        self.dead.set()
        await asyncio.Event().wait()  # nothing that comes after it is ever done


class World:
    """Everything but the processors, which come and go."""

    def __init__(self, store, sandbox, folder: Path) -> None:
        self.store = store
        self.sandbox = sandbox
        self.audio = FolderAudio(folder / "audio", "http://audio")
        self.application = Application(store, max_attempts=3, deadline_seconds=60)
        self.predictions = ReplicatePredictions(
            token="any",  # noqa: S106 -- the sandbox takes every one
            base_url=sandbox.url,
            model_version=VERSION,
            timeout=1.0,
            max_bytes=10**7,
        )
        self.templates = HttpTemplates(sandbox.url, cache_seconds=60)
        self.queue = MemoryQueue()

    async def close(self) -> None:
        """Let go of the outside."""
        await self.predictions.aclose()
        await self.templates.aclose()
        await self.audio.aclose()

    @contextlib.asynccontextmanager
    async def working(self, store=None, worker="w1", grace_seconds=0.0):
        """A relay and a processor, as a process that starts has them: with an empty queue."""
        self.queue = MemoryQueue()
        application = Application(store or self.store, max_attempts=3, deadline_seconds=60)
        outside = Outside(
            log=self.store,
            templates=self.templates,
            predictions=self.predictions,
            audio=self.audio,
            inspect=inspect,
            policy=RetryPolicy(initial=0.1, multiplier=2, maximum=1, jitter="none"),
            model_version=VERSION,
            poll_interval=0.02,
            create_timeout=1.0,
            segment_concurrency=4,
            observe=lambda *_: None,
        )
        processor = Processor(
            application,
            self.queue,
            outside,
            worker=worker,
            concurrency=8,
            grace_seconds=grace_seconds,
        )
        relay = Relay(self.application, self.store, self.store, self.queue, durable_queue=False)
        parts = [asyncio.create_task(part) for part in (relay.run(), processor.run())]
        try:
            yield processor
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def request(self, text=TEXT, template="template1") -> Task:
        """A new task."""
        task, _ = await self.application.request(template_id=template, text=text)
        return task

    async def ended(self, task: Task) -> Task:
        """The task when it is over."""
        async with asyncio.timeout(20):
            while True:
                now, _ = await self.application.load(task.id)
                if now.status in FINAL:
                    return now
                await asyncio.sleep(0.01)

    async def reached(self, task: Task, status: Status) -> None:
        """Return when the task has had the status."""
        async with asyncio.timeout(20):
            while status not in await self.statuses(task):
                await asyncio.sleep(0.005)

    async def statuses(self, task: Task) -> list[str]:
        """Every status so far."""
        return [UPDATES[e.topic][0].value for e in await self.store.events(task.id)]

    async def creations(self) -> int:
        """How many predictions were paid for."""
        return (await self._sandbox("GET", "stats"))["creations"]["total"]

    async def fault(self, route: str, fault: str, **more) -> None:
        """Have the sandbox do something bad."""
        await self._sandbox("POST", "faults", {"route": route, "fault": fault, **more})

    async def _sandbox(self, method, path, body=None):
        async with httpx.AsyncClient(base_url=self.sandbox.url, trust_env=False) as http:
            reply = await http.request(method, f"/sandbox/{path}", json=body)
            reply.raise_for_status()
            return reply.json()


@pytest.fixture
async def world(tmp_path, monkeypatch):
    for module in (steps, search):  # what is certain after seconds in production is so at once
        monkeypatch.setattr(module, "INTENT_FRESH", timedelta(seconds=0.5))
    monkeypatch.setattr(search, "LIST_LAG", timedelta(seconds=0.1))
    monkeypatch.setattr(search, "POLL_SECONDS", 0.05)
    behaviour = Behaviour(boot_seconds=0.05, predict_seconds=0.1, speech="tone")
    sandbox = await start_sandbox(behaviour=behaviour)
    store = SQLiteStore(tmp_path / "tts.db")
    await store.open()
    world = World(store, sandbox, tmp_path)
    yield world
    await world.close()
    await store.aclose()
    await sandbox.stop()


async def test_a_text_goes_the_whole_way(world):
    """Each status once, in order; the audio lies where the event says."""
    async with world.working():
        task = await world.ended(await world.request())
    assert await world.statuses(task) == THE_WAY
    assert inspect(world.audio.path(task.object_key).read_bytes()).duration > 0
    assert task.predictions == await world.creations() == 1


@pytest.mark.parametrize("append", range(1, 7))
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_around_any_append_costs_nothing(world, append, moment):
    """Whatever the dead worker had not said, the next one finds out; one prediction is paid for."""
    store = CrashingStore(world.store)
    setattr(store, f"crash_{moment}", append)
    async with world.working(store):
        task = await world.request()
        async with asyncio.timeout(10):
            await store.dead.wait()
    async with world.working(worker="w2"):
        task = await world.ended(task)
    assert task.status is Status.SUCCEEDED
    assert task.attempt == 1
    assert await world.creations() == 1


async def test_a_creation_whose_reply_is_lost_is_found_in_the_list(world):
    """The prediction exists, so none is made in its place, and no attempt is used up."""
    await world.fault("create", "reset_after", nth=1)
    async with world.working():
        task = await world.ended(await world.request())
    assert await world.statuses(task) == THE_WAY
    assert await world.creations() == 1


async def test_two_tasks_that_say_the_same_do_not_take_each_others_prediction(world):
    """Of two equal texts, the one whose reply was lost finds its own prediction."""
    await world.fault("create", "reset_after", nth=2)
    async with world.working():
        tasks = [await world.ended(t) for t in [await world.request(), await world.request()]]
    assert len({task.segments[0].prediction_id for task in tasks}) == 2
    assert await world.creations() == 2


async def test_a_transient_failure_is_retried_after_its_delay_and_never_early(world):
    """waiting_retry says when, and retrying comes then."""
    await world.fault("template_transcript", "status", args={"status": 503}, count=1)
    async with world.working():
        task = await world.ended(await world.request())
    statuses = await world.statuses(task)
    assert statuses[2:6] == ["dequeued", "waiting_retry", "retrying", "processing"]
    events = await world.store.events(task.id)
    waiting = world.application.replay(events[:4])
    retrying = world.application.replay(events[:5])
    assert waiting.due_at <= retrying.modified_on <= waiting.due_at + timedelta(seconds=1)
    assert task.status is Status.SUCCEEDED


async def test_a_prediction_that_was_interrupted_is_made_anew_twice_at_most(world):
    """After the third one the task fails, with Replicate's reason, and becomes a dead letter."""
    reason = "Prediction interrupted; please retry (code: PA)"
    await world.fault("prediction", "failed", args={"error": reason})
    async with world.working():
        task = await world.ended(await world.request())
        async with asyncio.timeout(5):
            while not world.queue.dead_letters:
                await asyncio.sleep(0.01)
    assert (task.status, task.error.code) == (Status.FAILED, "prediction_interrupted")
    assert await world.creations() == 3
    (letter,) = world.queue.dead_letters
    assert letter.headers["code"] == "prediction_interrupted"


async def test_a_permanent_failure_ends_the_task_at_its_first_attempt(world):
    """A template that is not there will not be there the next time."""
    async with world.working():
        task = await world.ended(await world.request(template="missing1"))
    assert await world.statuses(task) == ["starting", "queued", "dequeued", "failed"]
    assert await world.creations() == 0


async def test_a_manual_retry_uses_what_was_paid_for(world, monkeypatch):
    """The output was fetched before the failure; the next round stores it without a new one."""
    put = world.audio.put
    broken = True

    async def refuse(key, data, content_type):
        if broken:
            raise OSError("the disk is on fire")
        await put(key, data, content_type)

    monkeypatch.setattr(world.audio, "put", refuse)
    async with world.working():
        task = await world.ended(await world.request())
        assert (task.status, task.error.code) == (Status.FAILED, "internal_error")
        assert task.attempt == task.max_attempts
        broken = False
        await world.application.retry(task.id, by="me", reason="the fire is out")
        task = await world.ended(task)
    assert task.status is Status.SUCCEEDED
    assert await world.creations() == 1


async def test_a_duplicate_message_is_dropped(world):
    """A relay that crashed may publish again what a worker has in its hands."""
    async with world.working() as processor:
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        await world.queue.publish(Message(Destination.WORK, task.id, attempt=1, position=1))
        task = await world.ended(task)
        assert processor.busy <= 1
    assert await world.statuses(task) == THE_WAY


async def test_a_running_task_is_canceled_upstream_too(world):
    """The cancellation reaches the worker that polls, and the prediction is stopped."""
    await world.fault("prediction", "stuck")
    async with world.working():
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        await world.application.cancel(task.id, by="me", reason="changed my mind")
        task = await world.ended(task)
    assert (await world.statuses(task))[-2:] == ["canceling", "canceled"]
    assert (await world.predictions.get(task.segments[0].prediction_id)).state == "canceled"


async def test_a_task_that_nobody_has_begun_is_canceled_at_once(world):
    """There is nothing to stop, and a message that comes later changes nothing."""
    task = await world.request()
    task, _ = await world.application.cancel(task.id, by="me", reason="")
    assert task.status is Status.CANCELED
    async with world.working():
        other = await world.ended(await world.request())
    assert other.status is Status.SUCCEEDED
    assert await world.statuses(task) == ["starting", "canceling", "canceled"]
    assert await world.creations() == 1


async def test_after_its_deadline_a_task_fails_and_what_runs_is_stopped(world):
    """A prediction that never ends costs no more than the deadline allows."""
    await world.fault("prediction", "stuck")
    world.application = Application(world.store, max_attempts=3, deadline_seconds=1)
    async with world.working():
        task = await world.ended(await world.request())
    assert (task.status, task.error.code) == (Status.FAILED, "deadline_exceeded")
    assert (await world.predictions.get(task.segments[0].prediction_id)).state == "canceled"


async def test_a_stopping_processor_finishes_what_it_has_begun(world):
    """Within the grace time nothing is broken off, so no other worker has to find out anything."""
    async with world.working(grace_seconds=10):
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
    assert (await _loaded(world, task)).status is Status.SUCCEEDED
    assert await world.statuses(task) == THE_WAY


async def test_a_worker_that_was_overtaken_appends_nothing_more(world):
    """The newer lease wins; the older worker stops at its next append."""
    await world.fault("prediction", "stuck", count=1)
    async with world.working() as processor:
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
        await world.application.change(
            task.id, lambda t: t.claim(worker="other", now=world.application.now())
        )
        await world.predictions.cancel((await _loaded(world, task)).segments[0].prediction_id)
        async with asyncio.timeout(10):
            while processor.busy:
                await asyncio.sleep(0.01)
        now = await _loaded(world, task)
    assert (now.status, now.worker, now.lease) == (Status.DEQUEUED, "other", 2)


async def _loaded(world, task):
    return (await world.application.load(task.id))[0]


async def test_a_fault_of_the_processor_keeps_the_message(world, monkeypatch):
    """A task that cannot be read is tried again and again, and holds up no other."""
    monkeypatch.setattr("tts.processor.BREATHER_SECONDS", 0.05)
    broken = await world.request()
    events = world.store.events
    mended = asyncio.Event()
    tries = 0

    async def read(task_id):
        nonlocal tries
        if task_id == broken.id and not mended.is_set():
            tries += 1
            raise KeyError("an event of a newer version")
        return await events(task_id)

    store = CrashingStore(world.store)
    store.events = read
    async with world.working(store):
        other = await world.ended(await world.request("又一句。"))
        async with asyncio.timeout(10):
            while tries < 3:
                await asyncio.sleep(0.01)
        mended.set()
        broken = await world.ended(broken)
    assert other.status is broken.status is Status.SUCCEEDED
