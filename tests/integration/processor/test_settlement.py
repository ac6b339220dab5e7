"""Equal texts in doubt: each prediction is one task's alone, whichever processors look for it."""

import asyncio
from datetime import timedelta

import pytest

from tests.builders import bring, start
from tests.waiting import until
from tests.world import TEXT
from tts.domain.errors import LeaseLost
from tts.domain.values import Status
from tts.ports.speech import Speech
from tts.processor import settlement
from tts.processor.claimed_segment import ClaimedSegment
from tts.processor.claimed_task import ClaimedTask
from tts.processor.creation import Creation
from tts.processor.script import Script
from tts.processor.settlement import Settlement


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(settlement, "CLOCK_SKEW", timedelta(seconds=0.2))


async def intended(world, text=TEXT, template="template1"):
    """A task whose worker has decided to create a prediction."""
    task = await world.request(text, template)
    now = world.application.now()
    voice = await world.templates.fetch(task.template_id)

    def decide(task):
        bring(task, Status.DEQUEUED, worker="w", now=now)
        start(task, now=now, audio_url=voice.audio_url)

    task, _ = await world.application.change(task.id, decide)
    return task


async def in_doubt(world, text=TEXT, template="template1"):
    """A task whose worker died at its creation, and which another has taken over."""
    task = await intended(world, text, template)
    task, _ = await world.application.change(
        task.id, lambda task: task.claim(worker="next", now=world.application.now())
    )
    return task


async def created(world, task, text=TEXT):
    """The id of a prediction of which the log knows nothing."""
    return (await world.predictions.create(await speech(world, task, text), seconds_left=60)).id


async def recorded(world, task, prediction_id):
    await world.application.change(
        task.id,
        lambda task: task.record_prediction(
            lease=task.lease,
            segment=0,
            prediction_id=prediction_id,
            model_version="v",
            found=False,
            now=world.application.now(),
        ),
    )


async def speech(world, task, text=TEXT):
    voice = await world.templates.fetch(task.template_id)
    return Speech(text, voice.transcript, voice.audio_url)


async def settled(world, task, text=TEXT, resources=None):
    """What a processor finds for the task; one of its own if none is named."""
    resources = resources or world.process().resources
    its = Settlement(world.application, resources, task)
    return await its.for_sure(0, await speech(world, task, text), task.segments[0].intent_at)


async def looks(world) -> int:
    """How often somebody has looked for predictions."""
    return (await world.stats())["calls"].get("list", 0)


async def test_what_may_be_the_answer_to_a_creation_under_way_is_left_alone(world):
    """Another processor is about to record it."""
    world.change(replicate_timeout_ms=60_000)  # so long a creation may be under way
    doubtful = await in_doubt(world)
    rival = await intended(world)
    prediction = await created(world, rival)
    settling = asyncio.create_task(settled(world, doubtful))
    await asyncio.sleep(0.5)
    assert not settling.done()
    await recorded(world, rival, prediction)
    world.ahead = timedelta(minutes=2)
    assert await settling is None


async def test_it_is_free_once_the_creation_is_given_up(world):
    """The rival died in between: its creation will never be answered, and one of both has it."""
    doubtful = await in_doubt(world)
    rival = await intended(world)
    prediction = await created(world, rival)
    assert await settled(world, doubtful) == prediction
    rival, _ = await world.application.change(
        rival.id, lambda task: task.claim(worker="next", now=world.application.now())
    )
    assert await settled(world, rival) is None


async def test_of_two_that_look_at_once_one_has_it(world):
    """And the other has nothing, so that it is not spoken by one prediction too few."""
    tasks = [await in_doubt(world) for _ in range(2)]
    prediction = await created(world, tasks[0])
    outcomes = await asyncio.gather(*(settled(world, task) for task in tasks))
    assert sorted(outcomes, key=str) == sorted([None, prediction], key=str)


async def test_an_answer_that_came_too_late_for_its_worker_is_still_the_tasks(world):
    """The worker had lost the task by then; its processor knows whose the prediction is."""
    resources = world.process().resources
    doubtful = await in_doubt(world)
    rival = await world.request()
    claimed = ClaimedTask(
        world.application, resources, rival, worker="slow", changed=asyncio.Event()
    )
    script = Script(world.application.store, resources, rival)
    settling = Settlement(world.application, resources, rival)
    creation = Creation(ClaimedSegment(claimed, 0), resources, script, settling)
    await claimed.claim()
    await creation.start()
    rival, _ = await world.application.change(
        rival.id, lambda task: task.claim(worker="next", now=world.application.now())
    )
    with pytest.raises(LeaseLost):
        await creation.create()
    assert await settled(world, doubtful, resources=resources) is None
    assert await settled(world, rival, resources=resources) is not None


async def test_who_looks_again_keeps_what_it_took(world):
    """Its worker died before the log had it; the next one finds it again."""
    task = await in_doubt(world)
    prediction = await created(world, task)
    assert await settled(world, task) == prediction
    assert await settled(world, task) == prediction


@pytest.mark.parametrize(
    ("text", "template"), [("又一句。", "template1"), (TEXT, "template2")], ids=["text", "voice"]
)
async def test_who_speaks_otherwise_is_no_rival(world, text, template):
    """One look is enough."""
    doubtful = await in_doubt(world)
    await intended(world, text, template)
    prediction = await created(world, doubtful)
    assert await settled(world, doubtful) == prediction
    assert await looks(world) == 1


async def test_what_is_older_than_the_rivals_intent_is_not_waited_for(world):
    """However many tasks say the same all the time."""
    doubtful = await in_doubt(world)
    prediction = await created(world, doubtful)
    await asyncio.sleep(0.3)  # longer than the clocks may differ
    rivals = [await intended(world) for _ in range(3)]
    for rival in rivals:
        await created(world, rival)
    assert await settled(world, doubtful) == prediction
    assert await looks(world) == 1


async def test_what_was_read_of_the_log_is_not_read_again(world, monkeypatch):
    """However often it looks, and however much has happened since the intent."""
    world.change(replicate_timeout_ms=60_000)  # for so long it looks
    doubtful = await in_doubt(world)
    others = [await intended(world, f"第{n}句。") for n in range(10)]
    rival = await intended(world)
    await created(world, rival)
    batches, read = [], world.store.read

    async def counted(*arguments):
        batches.append(await read(*arguments))
        return batches[-1]

    monkeypatch.setattr(world.store, "read", counted)
    settling = asyncio.create_task(settled(world, doubtful))
    await until(lambda: len(batches) > 4, "it has looked several times")
    settling.cancel()
    assert sum(map(len, batches)) <= len([doubtful, *others, rival])
