"""Pieces of speech are joined with the pauses that they need, and without a click."""

import subprocess
import sys
import wave

import numpy as np
import pytest
import soundfile

from tests.unit.sound.files import RATE, audio, silence, tone, wav
from tts.domain.failures import StepError, Treatment
from tts.sound.join import join


def steepest(samples) -> float:
    return np.abs(np.diff(samples[:, 0])).max()


def silences(samples) -> list[float]:
    """How long each silence between two voices lasts, in seconds."""
    heard = np.flatnonzero(np.abs(samples[:, 0]) > 0.004)
    gaps = np.diff(heard)
    return [gap / RATE for gap in gaps[gaps > 0.01 * RATE]]


async def joined(tmp_path, *parts: bytes, pauses=None, **more):
    async def one_by_one():
        for part in parts:
            yield part

    path = tmp_path / "joined.wav"
    with path.open("wb") as file:
        duration = await join(one_by_one(), file, pauses, **more)
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert duration == len(samples) / rate
    return samples, path


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
async def test_the_whole_is_as_long_as_its_parts_and_its_pauses(tmp_path, subtype):
    """Nothing of the speech is lost, and nothing is said twice."""
    parts = [wav(tone(s), subtype=subtype) for s in (0.5, 0.7, 0.9)]
    samples, _ = await joined(tmp_path, *parts, pauses=[0.2, 0.4])
    assert len(samples) / RATE == pytest.approx(2.7, abs=0.001)


async def test_pieces_of_one_recording_are_laid_end_to_end(tmp_path):
    """Where nobody knows of a pause, none is made and none is taken away."""
    parts = [tone(0.5), silence(1.0), tone(0.3)]
    samples, _ = await joined(tmp_path, *(wav(part, subtype="PCM_16") for part in parts))
    whole = wav(np.concatenate(parts), subtype="PCM_16")
    (tmp_path / "whole.wav").write_bytes(whole)
    assert np.array_equal(samples, soundfile.read(tmp_path / "whole.wav", always_2d=True)[0])


async def test_every_player_can_read_the_header(tmp_path):
    """The standard library's reader, which knows plain PCM alone, stands for all of them."""
    _, path = await joined(tmp_path, wav(tone(0.5)), wav(tone(0.5)), pauses=[0.25])
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.getnframes() == int(1.25 * RATE)


@pytest.mark.parametrize("pause", [0.06, 0.22, 0.45, 0.7])
@pytest.mark.parametrize(
    ("behind", "before"), [(0.0, 0.0), (1.0, 1.0), (0.05, 0.0), (0.0, 0.3), (0.3, 0.05)]
)
async def test_each_pause_is_as_long_as_it_was_asked_for(tmp_path, pause, behind, before):
    """However much silence the model has left there: too much is cut, too little is filled up."""
    parts = (
        wav(tone(0.5), silence(behind)),
        wav(silence(before), tone(0.5), silence(behind)),
        wav(silence(before), tone(0.5)),
    )
    samples, _ = await joined(tmp_path, *parts, pauses=[pause, 0.5])
    assert silences(samples) == pytest.approx([pause, 0.5], abs=0.025)


async def test_the_silence_at_both_ends_of_the_whole_stays(tmp_path):
    """There is no joint there."""
    samples, _ = await joined(
        tmp_path,
        wav(silence(0.4), tone(0.5)),
        wav(tone(0.5), silence(0.4)),
        pauses=[0.2],
    )
    assert len(samples) / RATE == pytest.approx(2.0, abs=0.001)


async def test_a_joint_does_not_click(tmp_path):
    """Where two pieces meet, no step is much larger than those that the voice itself makes."""
    peak = int(RATE / 220 / 4)  # samples until the voice is at its loudest
    first = tone(0.5)[: int(RATE / 220 * 100) + peak]
    second = -tone(0.5)[peak:]
    samples, _ = await joined(tmp_path, wav(first), wav(second), pauses=[0.06])
    own = steepest(first)
    assert steepest(samples) < 1.1 * own
    assert steepest(np.concatenate([first, second])) > 30 * own  # without care they would click


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_part_of_nothing_but_silence_is_a_pause(tmp_path, at):
    """A model may say nothing to a dash; a hole of ten seconds would sound like the end."""
    parts = [wav(tone(0.5)), wav(tone(0.5))]
    parts[at:at] = [wav(silence(10.0))] if at != 2 else [wav(silence(0.3))]
    samples, _ = await joined(tmp_path, *parts, pauses=[0.2, 0.45])
    assert 1.0 <= len(samples) / RATE < 1.8
    assert len(silences(samples)) == 1


async def test_nothing_but_silence_stays_silence(tmp_path):
    """It is still a file that plays."""
    samples, _ = await joined(tmp_path, wav(silence(1.0)), wav(silence(1.0)), pauses=[0.2])
    assert len(samples) > 0
    assert not samples.any()


async def test_no_sample_is_beyond_the_scale(tmp_path):
    """Neither of what came so, nor at a joint."""
    loud, broken = tone(0.5, level=4.0), tone(0.5)
    broken[100:200] = np.nan
    samples, _ = await joined(tmp_path, wav(loud), wav(broken), wav(loud), pauses=[0.06, 0.06])
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1


async def test_stereo_stays_stereo(tmp_path):
    """The parts say what it is."""
    samples, _ = await joined(
        tmp_path, wav(tone(0.2, channels=2)), wav(tone(0.2, channels=2)), pauses=[0.2]
    )
    assert samples.shape[1] == 2


@pytest.mark.parametrize(
    "other",
    [wav(tone(0.2, rate=16_000), rate=16_000), wav(tone(0.2, channels=2))],
    ids=["rate", "channels"],
)
async def test_parts_that_do_not_fit_are_refused_for_good(tmp_path, other):
    """A voice that changes its pitch in the middle is no speech, and no repetition helps."""
    with pytest.raises(StepError, match=r"Part 2 has .* the first has 24000 Hz and 1") as caught:
        await joined(tmp_path, wav(tone(0.2)), other)
    assert caught.value.code == "parts_differ"
    assert caught.value.treatment is Treatment.PERMANENT


async def test_what_is_no_audio_is_refused(tmp_path):
    """The error says which part it was."""
    with pytest.raises(
        StepError, match=r"Part 2 is not audio: it cannot be read as audio"
    ) as caught:
        await joined(tmp_path, wav(tone(0.2)), b"<html>...")
    assert (caught.value.code, caught.value.step) == ("not_audio", "audio")


async def test_a_part_of_hours_is_refused(tmp_path):
    """A file of some kilobytes would become gigabytes."""
    with pytest.raises(StepError, match="longer than any speech") as caught:
        await joined(tmp_path, wav(tone(0.2)), audio(silence(640), kind="FLAC"))
    assert caught.value.code == "not_audio"


async def test_the_whole_is_bounded(tmp_path):
    """Many parts are as large as one."""
    with pytest.raises(StepError) as caught:
        await joined(tmp_path, *[wav(tone(0.5))] * 3, pauses=[0.0] * 2, limit=2 * RATE)
    assert (caught.value.code, caught.value.treatment) == ("audio_too_long", Treatment.PERMANENT)


def test_memory_stays_bounded(tmp_path):
    """125 parts are joined in a few megabytes more than two, libraries and all buffers included.

    So are those that are encoded.
    """
    part = tmp_path / "part.wav"
    part.write_bytes(wav(tone(15.0), silence(0.3), subtype="PCM_16"))
    program = f"""
import asyncio, resource
from pathlib import Path
from tts.domain.values import AudioFormat
from tts.sound.join import join
async def parts(count):
    for _ in range(count):
        yield Path({str(part)!r}).read_bytes()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def whole(count, name):
    with Path({str(tmp_path)!r}, name).open("wb") as file:
        audio_format = AudioFormat(name.removeprefix("whole."))
        asyncio.run(join(parts(count), file, [0.45] * count, audio_format=audio_format))
before = peak()
whole(2, "whole.mp3")
encoded = peak()
whole(15, "whole.mp3")
more_encoded = peak() - encoded
whole(2, "whole.wav")
few = peak()
whole(125, "whole.wav")
print(few - before, peak() - few, more_encoded)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    few, more, more_encoded = map(int, done.stdout.split())
    assert few < 24 * 1024
    assert more < 8 * 1024
    assert more_encoded < 4 * 1024
    assert (tmp_path / "whole.wav").stat().st_size > 90_000_000
