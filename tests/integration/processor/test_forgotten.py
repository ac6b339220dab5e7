"""Predictions of which the log knows nothing, because a failover took their events away."""

from collections import Counter
from datetime import timedelta

import pytest

from tests.world import TEXT
from tts.domain import steps
from tts.domain.values import Status
from tts.ports.speech import Speech
from tts.processor import settlement

TASKS = 30
PAID = 5


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(settlement, "CLOCK_SKEW", timedelta(seconds=0.2))
    monkeypatch.setattr(steps, "LIST_LAG", timedelta(seconds=0.1))


async def test_a_backlog_looks_for_them_together(world):
    """Each task takes its own, none is paid for twice, and Replicate is not asked for each."""
    texts = [f"{TEXT}第{n}句。" for n in range(TASKS)]
    tasks = [await world.request(text) for text in texts]
    voice = await world.templates.fetch("template1")
    paid = [
        await world.predictions.create(
            Speech(text, voice.transcript, voice.audio_url), seconds_left=60
        )
        for text in texts[:PAID]
    ]
    newest = await world.store.position()
    await world.store.position(newest + 5)  # somebody has seen more than is left
    async with world.working():
        ended = [await world.ended(task) for task in tasks]
    assert {task.status for task in ended} == {Status.SUCCEEDED}
    taken = [task.segments[0].prediction_id for task in ended[:PAID]]
    assert taken == [prediction.id for prediction in paid]
    assert Counter(await world.spoken()) == Counter(texts)
    assert (await world.stats())["calls"]["list"] <= TASKS / 5
