"""Speech becomes a smaller file of the same length and sound."""

from __future__ import annotations

import asyncio
import gc
import threading
from errno import ENOSPC
from io import BytesIO

import numpy as np
import pytest
import soundfile

from tests.unit.sound.files import RATE, tone, wav
from tts.domain.failures import StepError, Treatment
from tts.domain.values import AudioFormat
from tts.sound import encoding
from tts.sound.pcm import pcm
from tts.sound.recording import record
from tts.sound.resampling import Resampler
from tts.sound.threads import computed

KINDS = {
    AudioFormat.WAV: ("WAV", "PCM_16"),
    AudioFormat.MP3: ("MP3", "MPEG_LAYER_III"),
    AudioFormat.OPUS: ("OGG", "OPUS"),
}
SMALLER = [AudioFormat.MP3, AudioFormat.OPUS]


def loudest(samples, rate: int) -> float:
    """The frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate / len(samples)


@pytest.mark.parametrize("audio_format", AudioFormat)
@pytest.mark.parametrize(
    ("rate", "channels"), [(24_000, 1), (22_050, 2), (44_100, 2), (96_000, 6), (4_001, 1)]
)
def test_the_sound_and_its_length_stay(audio_format, rate, channels):
    """Whatever the rate and the channels, which a format may not know."""
    recording = record(wav(tone(1.0, rate=rate, channels=channels), rate=rate))
    data = encoding.encoded(recording, audio_format)
    with soundfile.SoundFile(BytesIO(data)) as file:
        assert (file.format, file.subtype) == KINDS[audio_format]
        samples, heard = file.read(always_2d=True), file.samplerate
    assert len(samples) / heard == pytest.approx(recording.duration, abs=0.001)
    for channel in samples.T:
        assert loudest(channel, heard) == pytest.approx(220, abs=2)
        assert channel[heard // 4 : -heard // 4].std() == pytest.approx(0.5 / 2**0.5, rel=0.05)


@pytest.mark.parametrize(("audio_format", "times"), [("mp3", 4), ("opus", 8)])
def test_it_is_smaller(audio_format, times):
    """By so much at least, also of noise, which is the hardest."""
    noise = np.random.default_rng(1).normal(0, 0.1, (3 * RATE, 1)).astype(np.float32)
    recording = record(wav(noise))
    assert len(encoding.encoded(recording, AudioFormat(audio_format))) < len(recording.data) / times


@pytest.mark.parametrize(("rate", "wanted"), [(22_050, 24_000), (96_000, 48_000), (7_919, 8_000)])
@pytest.mark.parametrize("block", [1, 37, 400])
def test_blocks_leave_no_trace(rate, wanted, block):
    """A sound at another rate is the same in one piece and in many."""
    samples = pcm(tone(0.03, rate=rate))

    def resampled(size: int):
        resampler = Resampler(rate, wanted, 1)
        starts = range(0, len(samples), size)
        blocks = [each for at in starts for each in resampler.add(samples[at : at + size])]
        return np.concatenate([*blocks, *resampler.finish()])

    whole = resampled(len(samples))
    assert np.array_equal(resampled(block), whole)
    assert len(whole) == round(len(samples) * wanted / rate)


@pytest.mark.parametrize("audio_format", SMALLER)
def test_a_full_disk_is_raised_and_not_printed(audio_format, capfd):
    """What fails under libsndfile, which calls back, is known above it."""

    class Full(BytesIO):
        def write(self, _: object) -> int:
            raise OSError(ENOSPC, "No space left on device")

    def written() -> None:
        speech = encoding.writer(audio_format, Full(), RATE, 1)
        for _ in range(3):
            speech.write(pcm(tone(1.0)))
        speech.finish()

    with pytest.raises(OSError, match="No space"):
        written()
    gc.collect()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("audio_format", SMALLER)
def test_one_that_is_given_up_says_nothing(audio_format, capfd):
    """Its file is closed before it is."""
    file = BytesIO()
    speech = encoding.writer(audio_format, file, RATE, 1)
    speech.write(pcm(tone(1.0)))
    file.close()
    del speech
    gc.collect()
    assert capfd.readouterr() == ("", "")


async def test_a_crowd_of_audio_holds_up_nothing_else():
    """The threads that wait for disks and sockets are others."""
    going_on = threading.Event()
    crowd = [asyncio.create_task(computed(going_on.wait)) for _ in range(100)]
    try:
        await asyncio.wait_for(asyncio.to_thread(int), 10)
        assert not any(task.done() for task in crowd)
    finally:
        going_on.set()
        await asyncio.gather(*crowd)


def test_a_machine_that_cannot_write_it_says_what_to_do(monkeypatch):
    """WAV needs nobody; the others wait for an operator."""
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    recording = record(wav(tone(0.1)))
    assert encoding.encoded(recording, AudioFormat.WAV) == recording.data
    with pytest.raises(StepError, match="pip install") as caught:
        encoding.encoded(recording, AudioFormat.OPUS)
    assert caught.value.treatment is Treatment.CONFIGURATION
