"""A long text is spoken whole: in segments, several at once, each on its own, and joined."""

import base64
import hashlib
import tempfile
import wave
from io import BytesIO

import numpy as np
import orjson
import pytest
import soundfile

from tests.services.disk import SmallDisk
from tests.services.process import User
from tests.waiting import until
from tests.world import SEGMENT_MAX_CHARS as MAX_CHARS
from tests.world import CrashingStore, open_world
from tts.domain.task import Task
from tts.domain.values import Status
from tts.text import segments
from tts.text.pauses import CLAUSE_SECONDS, LINE_SECONDS, SENTENCE_SECONDS, pause_seconds
from tts.wire import task_answer, task_update

# Three segments of sentences and the same sentence in none of them twice.
LONG = "".join(f"这是第{n}句话，它的长度刚好够用，听起来也很自然。" for n in range(1, 10))
COUNT = 3
# Two segments that are equal to the letter.
TWICE = ("同样的话说了一遍又一遍，听的人早就睡着了，说的人还是一点也没有发现。" * 2) * 2


async def test_each_segment_is_spoken_once_and_all_are_joined(world):
    """Nothing of the text is dropped, and nothing is paid for twice."""
    task = await world.speak(LONG)
    assert task.status is Status.SUCCEEDED
    assert len(task.segments) == COUNT
    assert await world.spoken() == sorted(LONG[s.start : s.end] for s in task.segments)
    with soundfile.SoundFile(world.audio.path(task.object_key)) as whole:
        assert whole.frames / whole.samplerate == pytest.approx(task.duration)
    assert task.duration == pytest.approx(sum(s.duration for s in task.segments), rel=0.1)
    assert task.predictions == COUNT


async def test_nothing_of_a_chinese_text_of_3000_characters_is_dropped(tmp_path, monkeypatch):
    """The model speaks 80 characters, and the whole lasts as long as its segments each alone."""
    text = "".join(
        f"第{n}天，我们沿着河边走了很久；水很清，鱼在石头之间游来游去，谁也不想回家。"
        for n in range(1, 100)
    )[:3000]
    async with open_world(tmp_path, monkeypatch, speech="voice") as world, world.working():
        alone = [
            await world.request(text[start:end]) for start, end in segments.split(text, MAX_CHARS)
        ]
        seconds = [(await world.ended(task)).duration for task in alone]
        whole = await world.ended(await world.request(text))
    assert len(seconds) > 3000 / MAX_CHARS
    assert whole.duration == pytest.approx(sum(seconds), rel=0.15)


async def test_segments_are_spoken_several_at_once(world):
    """A text of three predictions does not take three times as long."""
    await world.behave(predict_seconds=30)  # so long nothing ends

    async def all_run() -> bool:
        return len(await world.running()) == COUNT

    async with world.working():
        task = await world.request(LONG)
        await until(all_run, "all are spoken at once")
        world.replicate_ahead = 60.0
        assert (await world.ended(task)).status is Status.SUCCEEDED


async def test_the_parts_can_be_heard_while_the_rest_is_being_spoken(world):
    """Updates tell each part and how many there are; the snapshot has those of the beginning."""
    last = segments.split(LONG, MAX_CHARS)[-1]
    await world.fault("prediction", "stuck", match=LONG[last[0] : last[0] + 4])
    async with world.working():
        task = await world.request(LONG)

        async def all_but_one():
            now, _ = await world.application.load(task.id)
            return now if sum(s.downloaded for s in now.segments) == COUNT - 1 else None

        task = await until(all_but_one, "the others are downloaded")
        updates = [task_update(e, world.audio.url) for e in await world.store.events(task.id)]
        heard = {u["segment"]: u for u in updates if u["status"] == "download_complete"}
        assert sorted(heard) == [0, 1]
        answer = task_answer(task, 1, None, world.audio.url)
        assert answer["partialAudioUrls"] == [heard[n]["partialAudioUrl"] for n in (0, 1)]
        assert (answer["segments"], answer["segmentsDone"]) == (COUNT, COUNT - 1)
        assert {u["segments"] for u in heard.values()} == {COUNT}
        assert soundfile.info(world.audio.path(task.part_key(0))).frames > 0
        await world.application.cancel(task.id, by="me", reason="heard enough")
        await world.ended(task)
    assert await world.running() == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("append", range(1, 2 + 4 * COUNT + 1))
async def test_a_crash_around_any_append_costs_nothing(world, append, moment):
    """What is paid for is used, whichever segments were under way when the worker died."""
    task = await world.taken_over(await world.crashed(LONG, **{moment: append}))
    assert task.status is Status.SUCCEEDED
    assert task.attempt == 1
    assert await world.creations() == COUNT


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("append", range(3, 7))
async def test_equal_segments_keep_a_prediction_each(world, append, moment):
    """After a crash the one does not take the other's, so that none is left that nobody hears."""
    task = await world.taken_over(await world.crashed(TWICE, **{moment: append}))
    first, second = task.segments
    assert TWICE[first.start : first.end] == TWICE[second.start : second.end]
    assert first.prediction_id != second.prediction_id
    assert await world.creations() == 2


async def test_what_is_canceled_in_doubt_leaves_nothing_running(world):
    """Two equal predictions whose ids were never recorded are both found, and both stopped."""
    await world.behave(predict_seconds=60)
    # Requested comes by another way; then a claim, and an intent of each.
    store = CrashingStore(world.store, before=5)
    async with world.working(store):
        task = await world.request(TWICE)
        await until(store.dead.is_set, "the worker dies")

        async def both_run() -> bool:
            return len(await world.running()) == 2

        await until(both_run, "both predictions run")
    await world.application.cancel(task.id, by="me", reason="enough")
    task = await world.taken_over(task)
    assert task.status is Status.CANCELED
    assert await world.running() == []


async def test_a_fault_of_the_log_leaves_no_hole_in_it(world):
    """After an append that failed in an unknown way the task is read anew, and goes on."""
    store = CrashingStore(world.store)
    appends = iter([False, False, True])

    async def append(events, payload=None):
        if next(appends, False):
            raise RuntimeError("of a kind that nobody has thought of")
        return await world.store.append(events, payload)

    store.append = append
    async with world.working(store):
        task = await world.ended(await world.request(LONG))
    assert task.status is Status.SUCCEEDED
    events = await world.store.events(task.id)
    assert [event.version for event in events] == list(range(1, len(events) + 1))


async def test_one_failed_segment_is_retried_alone(world):
    """The others are finished first; the next attempt is about the failed one."""
    second = segments.split(LONG, MAX_CHARS)[1]
    await world.fault(
        "prediction",
        "failed",
        match=LONG[second[0] : second[0] + 6],
        count=1,
        args={"error": "Prediction interrupted; please retry (code: PA)"},
    )
    task = await world.speak(LONG)
    assert task.status is Status.SUCCEEDED
    assert task.attempt == 2
    assert [s.creations for s in task.segments] == [1, 2, 1]
    (retry,) = [
        orjson.loads(event.state)
        for event in await world.store.events(task.id)
        if event.topic == Task.RetryScheduled.TOPIC
    ]
    assert retry["abandoned"] == [1]
    assert retry["message"].startswith("segment 2 of 3: ")


async def test_a_segment_that_can_never_be_spoken_ends_the_task_at_once(world):
    """No further prediction is begun for a text that nobody will hear."""
    await world.fault(
        "prediction",
        "failed",
        match="这是头一句",
        args={"error": "assertion failed"},
    )
    task = await world.speak(LONG.replace("这是第1句", "这是头一句") + LONG * 4)
    assert task.status is Status.FAILED
    assert task.error.message.startswith("segment 1 of ")
    assert await world.creations() < len(task.segments)


async def test_a_manual_retry_speaks_only_what_is_missing(world):
    """What was paid for in the first round is there in the second."""
    second = segments.split(LONG, MAX_CHARS)[1]
    await world.fault(
        "prediction",
        "failed",
        match=LONG[second[0] : second[0] + 6],
        count=1,
        args={"error": "assertion failed"},
    )
    async with world.working():
        task = await world.ended(await world.request(LONG))
        assert task.status is Status.FAILED
        await world.application.retry(task.id, by="me", reason="")
        task = await world.ended(task)
    assert task.status is Status.SUCCEEDED
    assert await world.creations() <= COUNT + 1


async def test_a_part_that_is_gone_is_fetched_again_and_not_paid_for(world):
    """Replicate keeps an output for an hour."""
    task = await world.crashed(LONG, before=2 + 4 * COUNT)  # Succeeded
    await world.audio.delete(task.part_key(1))
    task = await world.taken_over(task)
    assert task.status is Status.SUCCEEDED
    assert await world.creations() == COUNT


async def test_speech_too_short_for_its_text_is_made_anew_once_and_then_marked(world):
    """It is no silent success: the updates and the end say which part may be cut short."""
    await world.fault("prediction", "cut_short", match="第7句")
    task = await world.speak(LONG)
    assert task.status is Status.SUCCEEDED
    assert [s.creations for s in task.segments] == [1, 1, 2]
    updates = [task_update(e, world.audio.url) for e in await world.store.events(task.id)]
    (again,) = [update for update in updates if update["status"] == "waiting_retry"]
    assert (again["code"], again["step"]) == ("suspect_truncation", "download")
    taken = [update for update in updates if update["status"] == "download_complete"]
    assert [u["segment"] for u in taken if u.get("suspectTruncation")] == [2]
    assert updates[-1]["suspectSegments"] == [2]


async def test_speech_that_is_whole_the_second_time_is_not_marked(world):
    """The first may have been an accident."""
    await world.fault("prediction", "cut_short", count=1)
    task = await world.speak(LONG[:70])
    assert (task.status, task.attempt, await world.creations()) == (Status.SUCCEEDED, 2, 2)
    assert not task.segments[0].suspect


async def test_a_suspicion_never_costs_the_audio(world):
    """Where no attempt is left it is taken and marked: an estimate is no proof."""
    await world.fault("prediction", "cut_short", nth=[2, 3])
    await world.fault("prediction", "failed", nth=1)
    await world.fault("template_transcript", "status", args={"status": 503}, nth=1)
    task = await world.speak(LONG[:70])
    assert (task.status, task.attempt) == (Status.SUCCEEDED, 3)
    assert task.segments[0].suspect


async def test_an_erasure_takes_the_parts_along(world):
    """Nothing that was spoken is left."""
    task = await world.speak(LONG)
    await world.application.erase(task.id, world.audio, by="me")
    names = [path.name for path in world.audio.path("x").parent.iterdir()]
    assert [name for name in names if str(task.id) in name] == []
    assert task.audio_key not in names


class TestWhatIsHeard:
    """Silence and samples that are no numbers are not taken for speech without a word."""

    @pytest.mark.parametrize(
        "value", [0.0, 0.8, 0.0005, np.nan, np.inf], ids=["zeros", "level", "low", "nan", "inf"]
    )
    @pytest.mark.parametrize(
        ("text", "match"), [(LONG[:70], "第1句"), (LONG, "第9句")], ids=["short", "long"]
    )
    async def test_what_is_no_speech_is_made_anew_once_and_then_marked(
        self, world, text, match, value
    ):
        """The updates and the end say which part it is; what is stored is never a burst."""
        await world.fault("prediction", "output_at", match=match, args={"url": data_uri(value)})
        task = await world.speak(text)
        last = len(task.segments) - 1
        assert task.status is Status.SUCCEEDED
        assert [s.creations for s in task.segments] == [1] * last + [2]
        updates = [task_update(e, world.audio.url) for e in await world.store.events(task.id)]
        (again,) = [update for update in updates if update["status"] == "waiting_retry"]
        assert (again["code"], again["step"]) == ("suspect_audio", "download")
        taken = [update for update in updates if update["status"] == "download_complete"]
        assert [u["segment"] for u in taken if u.get("suspectAudio")] == [last]
        assert updates[-1]["suspectSegments"] == [last]
        samples, _ = soundfile.read(world.audio.path(task.object_key))
        assert np.abs(samples).max() <= 0.85

    async def test_speech_the_second_time_is_not_marked(self, world):
        """It costs one prediction more."""
        await world.fault("prediction", "output_at", args={"url": data_uri(np.nan)}, count=1)
        task = await world.speak(LONG[:70])
        assert (task.status, task.attempt, await world.creations()) == (Status.SUCCEEDED, 2, 2)
        assert not task.segments[0].suspect

    async def test_both_suspicions_together_cost_one_prediction(self, world):
        """First silent, then too short: it is taken as it is."""
        await world.fault("prediction", "output_at", args={"url": data_uri(0.0)}, count=1)
        await world.fault("prediction", "cut_short", nth=2)
        task = await world.speak(LONG[:70])
        assert (task.status, await world.creations()) == (Status.SUCCEEDED, 2)
        updates = [task_update(e, world.audio.url) for e in await world.store.events(task.id)]
        (taken,) = [update for update in updates if update["status"] == "download_complete"]
        assert (taken.get("suspectTruncation"), taken.get("suspectAudio")) == (True, None)


async def test_what_is_no_audio_is_told_without_its_insides(world):
    """A client reads a sentence; what a library said of it is for the log."""
    uri = "data:audio/wav;base64," + base64.b64encode(b"RIFX" * 300).decode()
    await world.fault("prediction", "output_at", args={"url": uri})
    task = await world.speak("你好。")
    assert (task.status, task.error.code) == (Status.FAILED, "not_audio")
    assert task.error.message == "The output is not audio: it cannot be read as audio"
    assert await world.creations() == 1


class TestWhatIsStored:
    """Plain PCM, whatever the model makes, and as its events say."""

    @pytest.mark.parametrize(
        ("kind", "subtype"), [("WAV", "FLOAT"), ("FLAC", None), ("MP3", None), ("OGG", None)]
    )
    @pytest.mark.parametrize("text", ["你好。", LONG], ids=["short", "long"])
    async def test_it_is_pcm_of_16_bits_and_described_as_it_is(self, world, text, kind, subtype):
        """Size, hash and duration are those of the stored object and of each stored part."""
        uri = data_uri(None, kind=kind, subtype=subtype)
        await world.fault("prediction", "output_at", args={"url": uri})
        task = await world.speak(text)
        assert task.status is Status.SUCCEEDED
        whole = world.audio.path(task.object_key).read_bytes()
        described = {whole: (task.size, task.duration)}
        for segment in task.segments:
            data = world.audio.path(segment.part).read_bytes() if segment.part else whole
            assert hashlib.sha256(data).hexdigest() == segment.sha256
            described[data] = (segment.size, segment.duration)
        for data, (size, duration) in described.items():
            with wave.open(BytesIO(data)) as file:
                assert file.getsampwidth() == 2
                assert file.getnframes() / file.getframerate() == pytest.approx(duration)
            assert len(data) == size

    async def test_pauses_follow_the_text(self, world):
        """Longer after a line than after a sentence, and longer there than inside of one."""
        line = "".join(map(chr, range(0x4E00, 0x4E00 + 60)))
        text = f"{line}。{line[::-1]}。\n{line}，{line[::-1]}"
        task = await world.speak(text)
        pauses = [pause_seconds(text, segment.start) for segment in task.segments[1:]]
        assert pauses == [SENTENCE_SECONDS, LINE_SECONDS, CLAUSE_SECONDS]
        samples, rate = soundfile.read(world.audio.path(task.object_key))
        heard = np.flatnonzero(np.abs(samples) > 0.004)
        gaps = np.diff(heard) / rate
        assert gaps[gaps > 0.03] == pytest.approx(pauses, abs=0.025)


class TestWhereItIsPutTogether:
    async def test_no_temp_folder_is_needed(self, world, monkeypatch):
        """A read-only root, or a full /tmp, is nobody's concern."""
        monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
        task = await world.speak(LONG)
        assert (task.status, await world.creations()) == (Status.SUCCEEDED, COUNT)
        assert list((world.settings.data_dir / "work").iterdir()) == []

    async def test_an_unwritable_place_costs_nothing_and_goes_on_when_it_is_mended(self, world):
        """The task waits for the operator, with its attempt and its predictions."""
        work = world.settings.data_dir / "work"
        work.write_text("no folder")
        async with world.working():
            task = await world.request(LONG)
            await world.reached(task, Status.WAITING_RETRY)
            waiting, _ = await world.application.load(task.id)
            assert (waiting.error.code, waiting.error.step) == ("workplace_refused", "audio")
            work.unlink()
            task = await world.ended(task)
        assert (task.status, task.attempt) == (Status.SUCCEEDED, 1)
        assert await world.creations() == COUNT

    async def test_a_full_data_folder_costs_nothing_and_goes_on_when_there_is_room(self, world):
        """Whatever has been written by then."""
        disk = SmallDisk(world.settings.data_dir / "work", 8, User("nobody"))
        disk.fill()
        try:
            async with world.working():
                task = await world.request(LONG)
                await world.reached(task, Status.WAITING_RETRY)
                waiting, _ = await world.application.load(task.id)
                assert (waiting.error.code, waiting.error.step) == ("workplace_refused", "audio")
                disk.free()
                task = await world.ended(task)
        finally:
            disk.unmount()
        assert (task.status, task.attempt) == (Status.SUCCEEDED, 1)
        assert await world.creations() == COUNT


def data_uri(value: float | None, *, kind: str = "WAV", subtype: str | None = "FLOAT") -> str:
    """Some seconds of a constant level, or of a tone, as the model's output."""
    count = 20 * 24_000
    samples = 0.5 * np.sin(np.arange(count) / 10) if value is None else np.full(count, value)
    file = BytesIO()
    soundfile.write(file, samples.astype(np.float32), 24_000, format=kind, subtype=subtype)
    return f"data:audio/any;base64,{base64.b64encode(file.getvalue()).decode()}"
