"""The audio of a task is what its request asked for, whatever happens on the way."""

from __future__ import annotations

import asyncio

import pytest
import soundfile

from tests.waiting import until
from tests.world import TEXT
from tts.config import ConfigError
from tts.domain.naming import format_of
from tts.domain.values import AudioFormat, Status
from tts.wire import task_update

LONG = "这是第一句话，它的长度刚好够用，听起来也很自然，谁听了都说好。" * 4
SUBTYPES = {AudioFormat.MP3: "MPEG_LAYER_III", AudioFormat.OPUS: "OPUS", AudioFormat.WAV: "PCM_16"}


def stored(world, task):
    """What there is of the audio, as its name promises it."""
    found = soundfile.info(world.audio.path(task.object_key))
    assert found.subtype == SUBTYPES[format_of(task.object_key)]
    return found


@pytest.mark.parametrize("audio_format", ["mp3", "opus"])
@pytest.mark.parametrize("text", [TEXT, LONG], ids=["short", "long"])
async def test_the_audio_is_as_asked_for(world, text, audio_format):
    """As long as its parts and pauses, which stay WAV; the update says what it is."""
    async with world.working():
        plain, task = [
            await world.ended(await world.request(text, audio_format=asked))
            for asked in ("wav", audio_format)
        ]
    assert task.object_key.endswith(f".{audio_format}")
    assert stored(world, task).duration == pytest.approx(stored(world, plain).duration, abs=0.05)
    assert task.duration == plain.duration
    assert task.size == world.audio.path(task.object_key).stat().st_size < plain.size / 4
    for segment in task.segments:
        assert (segment.part is not None) == (text is LONG)
        assert (segment.part or ".wav").endswith(".wav")
    update = task_update((await world.store.events(task.id))[-1], world.audio.url)
    assert update["format"] == audio_format
    assert update["audioUrl"].endswith(task.object_key)
    assert update["duration"] == task.duration


async def test_the_setting_of_the_day_it_was_asked_for_counts(world):
    """A processor that is set otherwise keeps what the log says."""
    world.change(audio_format=AudioFormat.MP3)
    task, wav = await world.request(), await world.request(audio_format="wav")
    world.change(audio_format=AudioFormat.OPUS)
    async with world.working():
        assert stored(world, await world.ended(task)).subtype == "MPEG_LAYER_III"
        assert stored(world, await world.ended(wav)).subtype == "PCM_16"


class Stuck:
    """An audio store in which a process dies as soon as it wants to store a whole audio."""

    def __init__(self, audio) -> None:
        self._audio = audio
        self.reached = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._audio, name)

    async def put(self, key, *rest):
        """Never return for a whole audio."""
        if key.startswith("audio-"):
            await self._die()
        await self._audio.put(key, *rest)

    async def put_file(self, *_):
        """Never return."""
        await self._die()

    async def _die(self):
        self.reached.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("text", [TEXT, LONG], ids=["short", "long"])
async def test_a_crash_between_encoding_and_storing_costs_no_prediction(world, text):
    """The next worker encodes again what is at hand."""
    audio, world.audio = world.audio, Stuck(world.audio)
    async with world.working():
        task = await world.request(text, audio_format="opus")
        await until(world.audio.reached.is_set, "the audio is encoded")
        paid = await world.creations()
    world.audio = audio
    task = await world.taken_over(task)
    assert task.status is Status.SUCCEEDED
    assert stored(world, task).subtype == "OPUS"
    assert await world.creations() == paid == len(task.segments)


async def test_a_machine_that_cannot_encode_keeps_what_is_paid_for(world, monkeypatch):
    """The task waits for an operator, and goes on without another prediction.

    A processor whose own setting it cannot follow does not start.
    """
    monkeypatch.setattr("tts.domain.retry.PAUSE_SECONDS", (0.1, 0.1))
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "check_format", lambda *_: False)
        world.change(audio_format=AudioFormat.MP3)
        with pytest.raises(ConfigError, match=r"AUDIO_FORMAT: .* cannot write mp3; .* pip install"):
            world.process().processor()
        world.change(audio_format=AudioFormat.WAV)
        async with world.working():
            task = await world.request(audio_format="mp3")
            await world.reached(task, Status.WAITING_RETRY)
    now, _ = await world.application.load(task.id)
    assert now.error.code == "format_unavailable"
    task = await world.taken_over(task)
    assert stored(world, task).subtype == "MPEG_LAYER_III"
    assert await world.creations() == 1
