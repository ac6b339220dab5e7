"""What is sent is what the model can speak; what the task shows is what was asked for."""

from tests.world import SEGMENT_MAX_CHARS
from tts.domain.naming import hash_payload
from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.log import Payload
from tts.sandbox import front_end

WRITTEN = "# 今日要闻\n\n**总额**１，２３４元，详见https://www.example.com/a?b=c。😀"
SPOKEN = "今日要闻。总额1,234元，详见example点com。"


async def test_the_words_are_sent_and_the_text_is_kept(world):
    """Markdown, URLs and emoji are for the eye."""
    task = await world.speak(WRITTEN)
    assert await world.spoken() == [SPOKEN]
    assert (await world.store.payload(task.id)).text == WRITTEN


async def test_a_task_is_spoken_as_it_was_accepted(world):
    """Whatever is configured later: a prediction that was paid for is found by its text."""
    world.change(speech_cleanup=False)
    text = "**重点**很多"
    task = await world.request(text)
    world.change(speech_cleanup=True)
    async with world.working():
        await world.ended(task)
    assert await world.spoken() == [text]


async def test_a_task_from_before_the_rules_is_spoken_as_it_is(world):
    """Its log says nothing of them."""
    application = world.application
    text = "**重点**\n很多"
    task = Task.request(
        id=Task.create_id(),
        template_id="template1",
        text_hash=hash_payload(text, "", "salt"),
        text_length=len(text),
        segments=[[0, 5], [5, len(text)]],
        owner="",
        max_attempts=3,
        deadline_at=(await world.request()).deadline_at,
        idempotency_key=None,
        now=application.now(),
    )
    await world.store.append(application.collect(task), Payload(text, "", "salt"))
    async with world.working():
        task = await world.ended(task)
    assert task.status is Status.SUCCEEDED
    assert {"**重点*", "*\n很多"} <= set(await world.spoken())


async def test_dense_numbers_are_spoken_to_their_end(world):
    """They are longer when they are read out, and the model drops what is too long."""
    text = "".join(f"第{n}项支出为{n}234567.89元，占比{n}.5%，" for n in range(1, 9))
    assert len(text) < 3 * SEGMENT_MAX_CHARS
    task = await world.speak(text)
    assert len(task.segments) > 3
    assert all(front_end.heard(part) == part for part in await world.spoken())
    assert not any(segment.suspect for segment in task.segments)


async def test_a_blank_instruction_is_none(world):
    """The model fails on it."""
    task, _ = await world.application.request(
        template_id="template1", text="你好", instruction=" \n", idempotency_key="once"
    )
    again, _ = await world.application.request(
        template_id="template1", text="你好", instruction="", idempotency_key="once"
    )
    async with world.working():
        task = await world.ended(task)
    assert (task.status, again.id) == (Status.SUCCEEDED, task.id)
