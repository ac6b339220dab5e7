"""Pieces of speech are joined without a gap, a click or a lot of memory."""

import subprocess
import sys
import wave
from io import BytesIO

import numpy as np
import pytest
import soundfile

from tts.domain.failures import StepError, Treatment
from tts.sound.join import CROSSFADE_SECONDS, KEPT_AFTER_SECONDS, KEPT_BEFORE_SECONDS, join

RATE = 24_000


def tone(seconds: float, *, rate: int = RATE, channels: int = 1, level: float = 0.5):
    """A voice that never pauses."""
    wave_ = level * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave_[:, None], channels, axis=1).astype(np.float32)


def silence(seconds: float):
    return np.zeros((int(seconds * RATE), 1), dtype=np.float32)


def wav(*pieces, rate: int = RATE, subtype: str = "FLOAT") -> bytes:
    file = BytesIO()
    soundfile.write(file, np.concatenate(pieces), rate, subtype=subtype, format="WAV")
    return file.getvalue()


def steepest(samples) -> float:
    return np.abs(np.diff(samples[:, 0])).max()


async def joined(tmp_path, *parts: bytes):
    async def one_by_one():
        for part in parts:
            yield part

    path = tmp_path / "joined.wav"
    info = await join(one_by_one(), path)
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert info.duration == len(samples) / rate
    return samples, path


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
async def test_the_whole_is_as_long_as_its_parts_without_the_crossfades(tmp_path, subtype):
    """Nothing of the speech is lost, and nothing is said twice."""
    parts = [wav(tone(s), subtype=subtype) for s in (0.5, 0.7, 0.9)]
    samples, _ = await joined(tmp_path, *parts)
    assert len(samples) / RATE == pytest.approx(2.1 - 2 * CROSSFADE_SECONDS, abs=0.001)


async def test_every_player_can_read_the_header(tmp_path):
    """The standard library's reader, which knows plain PCM alone, stands for all of them."""
    _, path = await joined(tmp_path, wav(tone(0.5)), wav(tone(0.5)))
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.getnframes() == int((1.0 - CROSSFADE_SECONDS) * RATE)


async def test_of_the_silence_at_a_joint_a_breath_is_left(tmp_path):
    """A pause of two seconds in the middle of a text would sound like its end."""
    parts = wav(tone(0.5), silence(1.0)), wav(silence(1.0), tone(0.5))
    samples, _ = await joined(tmp_path, *parts)
    breath = KEPT_BEFORE_SECONDS + KEPT_AFTER_SECONDS - CROSSFADE_SECONDS
    assert len(samples) / RATE == pytest.approx(1.0 + breath, abs=0.011)


async def test_the_silence_at_both_ends_of_the_whole_stays(tmp_path):
    """There is no joint there."""
    samples, _ = await joined(tmp_path, wav(silence(0.4), tone(0.5)), wav(tone(0.5), silence(0.4)))
    assert len(samples) / RATE == pytest.approx(1.8 - CROSSFADE_SECONDS, abs=0.001)


async def test_a_joint_does_not_click(tmp_path):
    """Where two pieces meet, no step is much larger than those that the voice itself makes."""
    peak = int(RATE / 220 / 4)  # samples until the voice is at its loudest
    first = tone(0.5)[: int(RATE / 220 * 100) + peak]
    second = -tone(0.5)[peak:]
    samples, _ = await joined(tmp_path, wav(first), wav(second))
    own = steepest(first)
    assert steepest(samples) < 2 * own
    assert steepest(np.concatenate([first, second])) > 30 * own  # without care they would click


async def test_a_part_of_nothing_but_silence_is_a_breath(tmp_path):
    """A model may say nothing to a dash."""
    samples, _ = await joined(
        tmp_path, wav(tone(0.5)), wav(silence(2.0)), wav(silence(0.0)), wav(tone(0.5))
    )
    assert 1.0 <= len(samples) / RATE < 1.4


async def test_stereo_stays_stereo(tmp_path):
    """The parts say what it is."""
    samples, _ = await joined(tmp_path, wav(tone(0.2, channels=2)), wav(tone(0.2, channels=2)))
    assert samples.shape[1] == 2


@pytest.mark.parametrize(
    "other",
    [wav(tone(0.2, rate=16_000), rate=16_000), wav(tone(0.2, channels=2))],
    ids=["rate", "channels"],
)
async def test_parts_that_do_not_fit_are_refused_for_good(tmp_path, other):
    """A voice that changes its pitch in the middle is no speech, and no repetition helps."""
    with pytest.raises(StepError, match=r"part 1 has .* the first has 24000 Hz and 1") as caught:
        await joined(tmp_path, wav(tone(0.2)), other)
    assert caught.value.code == "parts_differ"
    assert caught.value.treatment is Treatment.PERMANENT


async def test_what_is_no_audio_is_refused(tmp_path):
    """The error says which part it was."""
    with pytest.raises(StepError, match=r"part 1 \(9 bytes\) is not audio"):
        await joined(tmp_path, wav(tone(0.2)), b"<html>...")


def test_memory_stays_bounded(tmp_path):
    """125 parts of 240 kB are joined in less than 64 MB, libraries and all buffers included."""
    part = tmp_path / "part.wav"
    part.write_bytes(wav(tone(5.0), subtype="PCM_16"))
    program = f"""
import asyncio, resource
from pathlib import Path
from tts.sound.join import join
async def parts(count):
    for _ in range(count):
        yield Path({str(part)!r}).read_bytes()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
asyncio.run(join(parts(2), Path({str(tmp_path)!r}, "warm.wav")))
before = peak()
asyncio.run(join(parts(125), Path({str(tmp_path)!r}, "whole.wav")))
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 64 * 1024
    assert (tmp_path / "whole.wav").stat().st_size > 29_000_000
