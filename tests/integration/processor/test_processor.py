"""The processor at work: real store, queue, adapters and audio; Replicate is the sandbox."""

import asyncio
import gc
from datetime import timedelta

import httpx
import pytest

from tests.histories import STATUSES_OF_SPEECH
from tests.waiting import until
from tests.world import CrashingStore
from tts.domain.values import Status
from tts.gate import state
from tts.ports.queue import Destination, Message
from tts.sound.recording import Recording, record


async def test_a_text_goes_the_whole_way(world):
    """Each status once, in order; the audio lies where the event says."""
    task = await world.speak()
    assert await world.statuses(task) == STATUSES_OF_SPEECH
    assert record(world.audio.path(task.object_key).read_bytes()).is_speech
    assert task.predictions == await world.creations() == 1


async def test_a_task_that_goes_well_is_read_once(world, monkeypatch):
    """With what was said; all else of it the processor writes itself."""
    whole, reads = world.store.whole, []

    async def counted(task_id):
        reads.append(task_id)
        return await whole(task_id)

    monkeypatch.setattr(world.store, "whole", counted)
    monkeypatch.setattr(world.store, "payload", None)
    task = await world.speak()
    assert task.status is Status.SUCCEEDED
    assert reads == [task.id]


@pytest.mark.parametrize("append", range(1, 7))
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_around_any_append_costs_nothing(world, append, moment):
    """Whatever the dead worker had not said, the next one finds out; one prediction is paid for."""
    task = await world.crashed(**{moment: append})
    task = await world.taken_over(task)
    assert task.status is Status.SUCCEEDED
    assert task.attempt == 1
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
    task = await world.speak()
    statuses = await world.statuses(task)
    assert statuses[2:6] == ["dequeued", "waiting_retry", "retrying", "processing"]
    events = await world.store.events(task.id)
    waiting = world.application.replay(events[:4])
    retrying = world.application.replay(events[:5])
    assert waiting.due_at <= retrying.modified_on <= waiting.due_at + timedelta(seconds=30)
    assert task.status is Status.SUCCEEDED


async def test_a_manual_retry_does_not_read_a_failed_prediction_again(world):
    """What failed for good has failed for good: the next round makes a new prediction."""
    await world.fault("prediction", "failed", args={"error": "assertion failed"}, count=1)
    async with world.working():
        task = await world.ended(await world.request())
        assert (task.status, task.error.code) == (Status.FAILED, "prediction_failed")
        await world.application.retry(task.id, by="me", reason="the template is mended")
        task = await world.ended(task)
    assert task.status is Status.SUCCEEDED
    assert await world.creations() == 2


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
    assert await world.statuses(task) == STATUSES_OF_SPEECH


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


async def test_a_running_task_is_canceled_although_all_hands_are_full(world):
    """The message with the cancellation cannot be taken yet; the log tells of it all the same."""
    await world.fault("prediction", "stuck", nth=1)
    async with world.working(concurrency=1):
        stuck, other = await world.request(), await world.request("又一句。")
        await world.reached(stuck, Status.PREDICTION_CREATED)
        await world.application.cancel(stuck.id, by="me", reason="changed my mind")
        stuck, other = await world.ended(stuck), await world.ended(other)
    assert (stuck.status, other.status) == (Status.CANCELED, Status.SUCCEEDED)


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


async def test_a_stopping_processor_finishes_what_it_has_begun(world):
    """Within the grace time nothing is broken off, so no other worker has to find out anything."""
    async with world.working(grace_seconds=60):
        task = await world.request()
        await world.reached(task, Status.PREDICTION_CREATED)
    assert (await _loaded(world, task)).status is Status.SUCCEEDED
    assert await world.statuses(task) == STATUSES_OF_SPEECH


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
        await until(lambda: not processor.busy, "it stops")
        now = await _loaded(world, task)
    assert (now.status, now.worker, now.lease) == (Status.DEQUEUED, "other", 2)


async def _loaded(world, task):
    return (await world.application.load(task.id))[0]


async def test_a_fault_of_the_processor_keeps_the_message(world, monkeypatch):
    """A task that cannot be read is tried again and again, and holds up no other."""
    monkeypatch.setattr("tts.processor.processor.BREATHER_SECONDS", 0.05)
    broken = await world.request()
    whole = world.store.whole
    mended = asyncio.Event()
    tries = 0

    async def read(task_id):
        nonlocal tries
        if task_id == broken.id and not mended.is_set():
            tries += 1
            raise KeyError("an event of a newer version")
        return await whole(task_id)

    store = CrashingStore(world.store)
    store.whole = read
    async with world.working(store):
        other = await world.ended(await world.request("又一句。"))
        await until(lambda: tries >= 3, "it is tried again")
        mended.set()
        broken = await world.ended(broken)
    assert other.status is broken.status is Status.SUCCEEDED


async def test_while_the_account_is_refused_one_creation_is_tried_at_a_time(world, monkeypatch):
    """The others wait before the gate: none uses an attempt, and few ask in vain."""
    monkeypatch.setattr(state, "PAUSE_CAP_SECONDS", 0.3)
    await world.fault("create", "status", args={"status": 402})
    async with world.working():
        tasks = [await world.request(f"第{n}句。") for n in range(8)]
        for task in tasks:
            await world.reached(task, Status.DEQUEUED)

        async def refused_again() -> int:
            calls = (await world.stats())["calls"].get("create", 0)
            return calls if calls > len(tasks) else 0

        refused = await until(refused_again, "somebody asks again")
        await world.heal()
        ended = [await world.ended(task) for task in tasks]
    assert {task.status for task in ended} == {Status.SUCCEEDED}
    assert {task.attempt for task in ended} == {1}
    assert refused <= 10  # all eight may be on their way when the gate shuts, then one probes
    assert await world.creations() == 8


async def test_no_audio_outlives_its_task(world):
    """A processor is as small after a thousand tasks as after one, also while nobody collects."""
    gc.collect()
    gc.disable()
    try:
        async with world.working():
            task = await world.request()
            assert (await world.ended(task)).status is Status.SUCCEEDED
            await until(lambda: not audio_in_memory(), "its audio is gone")
    finally:
        gc.enable()


def audio_in_memory() -> list[object]:
    """Whatever holds some, reachable or not."""
    return [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, Recording)
        or (isinstance(thing, httpx.Response) and len(getattr(thing, "_content", b"")) > 10_000)
    ]
