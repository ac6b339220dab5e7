"""Whatever comes from outside becomes one kind of file, or is refused before it does harm."""

import struct
import subprocess
import sys
import wave
from io import BytesIO

import numpy as np
import pytest
import soundfile

from tests.unit.sound.files import RATE, audio, silence, sizes, tone, wav
from tts.sound.reading import NotAudio
from tts.sound.recording import is_quick, record


def samples_in(data: bytes):
    return soundfile.read(BytesIO(data), dtype="float32", always_2d=True)[0]


class TestOneKind:
    @pytest.mark.parametrize(
        ("kind", "subtype"),
        [
            *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW")),
            *((kind, None) for kind in ("FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "RF64")),
        ],
    )
    def test_any_format_becomes_pcm_of_16_bits(self, kind, subtype):
        """The standard library's reader, which knows plain PCM alone, stands for all players."""
        recording = record(audio(tone(1.0, channels=2), kind=kind, subtype=subtype))
        with wave.open(BytesIO(recording.data)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 2, 2)
            assert file.getnframes() / RATE == recording.duration
        assert recording.duration == pytest.approx(1.0, abs=0.1)
        assert recording.is_speech
        assert np.abs(recording.samples).max() / 32768 == pytest.approx(0.5, abs=0.05)

    def test_pcm_of_16_bits_stays_what_it_is(self):
        """To the bit, the loudest ones included."""
        every = np.arange(-32768, 32768, dtype=np.int16)[:, None]
        assert np.array_equal(record(audio(every, subtype="PCM_16")).samples, every)

    def test_what_is_recorded_twice_is_the_same(self):
        """So its hash is one thing, whoever fetches it again."""
        once = record(wav(tone(0.5)))
        assert record(once.data).data == once.data
        assert record(wav(tone(0.5))).data == once.data


class TestTooLoud:
    @pytest.mark.parametrize("loudest", [1.2, 3.0, 32767.0])
    def test_a_voice_beyond_the_scale_is_made_smaller_and_not_torn(self, loudest):
        """Floats in the range of integers are a known mistake; clipped, they were a burst."""
        recording = record(wav(tone(0.5, level=loudest)))
        expected = samples_in(wav(tone(0.5, level=1.0)))
        assert np.abs(recording.samples / 32768 - expected).max() < 0.001
        assert recording.is_speech

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
    def test_what_is_no_number_is_never_a_burst(self, value):
        """Nor does it spoil the rest; but it is no whole speech."""
        samples = tone(0.5)
        samples[1000:1100] = value
        recording = record(wav(samples))
        assert np.abs(recording.samples[1000:1100]).max() <= (0 if value != 1e38 else 32768)
        if value != 1e38:
            assert np.abs(recording.samples[2000:]).max() / 32768 == pytest.approx(0.5, abs=0.01)
        assert not recording.is_speech


class TestSpeech:
    @pytest.mark.parametrize(
        "samples",
        [
            silence(2.0),
            silence(2.0) + np.float32(np.nan),
            silence(2.0) + np.float32(0.7),
            silence(2.0) - 1,
            tone(2.0, level=0.001),
            np.concatenate([silence(1.0), tone(0.02), silence(1.0)]),
            np.random.default_rng(1).normal(0, 0.002, (48_000, 1)).astype(np.float32),
            np.linspace(-0.9, 0.9, 48_000, dtype=np.float32)[:, None],
        ],
        ids=["zeros", "nan", "level", "lowest", "quiet", "click", "noise", "drift"],
    )
    @pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
    def test_what_nobody_hears_is_no_speech(self, samples, subtype):
        """Though it lasts as long as speech would."""
        if subtype == "PCM_16":
            samples = np.nan_to_num(samples)
        assert not record(wav(samples, subtype=subtype)).is_speech

    @pytest.mark.parametrize(
        "samples",
        [
            tone(0.1),
            tone(2.0, level=0.03),
            np.concatenate([silence(5.0), tone(0.1), silence(5.0)]),
            tone(2.0, level=0.2) + 0.5,
        ],
        ids=["short", "soft", "late", "on a level"],
    )
    def test_what_is_heard_may_be_speech(self, samples):
        """A suspicion costs a prediction."""
        assert record(wav(samples)).is_speech


class TestLengths:
    @pytest.mark.parametrize(
        ("riff", "samples"),
        [(0xFFFFFFFF, 0xFFFFFFFF), (0, 0), (36, 0), (0xFFFFFFFF, 0), (0x7FFFFFFF, 0x7FFFF000)],
    )
    @pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
    def test_lengths_that_a_streaming_writer_left_open_are_repaired(self, riff, samples, subtype):
        """Nothing of it is lost, and what is stored says how long it is."""
        whole = wav(tone(0.5), subtype=subtype)
        recording = record(sizes(whole, riff, samples))
        assert recording.data == record(whole).data
        assert recording.duration == 0.5

    def test_what_stands_behind_no_samples_is_none(self):
        """An empty WAV with a chunk behind it is empty."""
        empty = wav(silence(0.0), subtype="PCM_16")
        with pytest.raises(NotAudio):
            record(empty + b"LIST\x04\0\0\0INFO")

    @pytest.mark.parametrize(
        "data",
        [b"", b"<html>not found</html>", b"RIFF", wav(tone(0.5))[:40], wav(silence(0))],
        # libsndfile writes the time into a WAV, and a test has one name in every process.
        ids=["nothing", "page", "start", "head", "empty"],
    )
    def test_what_holds_no_sound_is_refused(self, data):
        """And whoever reads why reads nothing of a library, a size or an address."""
        with pytest.raises(NotAudio) as caught:
            record(data)
        assert str(caught.value) in {"it cannot be read as audio", "it holds no sound"}


def flac(seconds: float, *, says: int | None) -> bytes:
    """Silence as FLAC, whose header says another number of frames."""
    data = bytearray(audio(silence(seconds), kind="FLAC"))
    number = (data[21] & 0xF0) << 32 | (says or 0)  # 36 bits, behind the rate, channels and bits
    data[21:26] = number.to_bytes(5, "big")
    return bytes(data)


def test_of_a_length_that_is_not_said_all_is_taken():
    """FLAC from a stream says 0."""
    data = bytearray(audio(tone(0.5), kind="FLAC"))
    data[21:26] = ((data[21] & 0xF0) << 32).to_bytes(5, "big")
    assert record(bytes(data)).duration == 0.5


def header(*, rate: int = RATE, channels: int = 1, seconds: float = 0.5) -> bytes:
    """A WAV of zeros with any rate and channels."""
    size = int(seconds * rate) * 2 * channels
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    body = b"fmt " + form + b"data" + struct.pack("<I", size) + bytes(size)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


@pytest.mark.parametrize(
    "data",
    [
        header(rate=1_000_000),
        header(rate=100, seconds=100),
        header(channels=64),
        header(channels=1024, seconds=0.01),
    ],
    ids=["rate", "slow", "channels", "many channels"],
)
def test_what_no_speech_has_is_refused(data):
    """By its header."""
    with pytest.raises(NotAudio, match="a rate, or a number of channels"):
        record(data)


def test_a_small_file_of_hours_costs_no_memory(tmp_path):
    """Told, not told, or lied about: less than 50 MiB more, and nothing for those that say so."""
    for name, data in {
        "told": flac(1, says=100_000_000),
        "lies": flac(640, says=1000),
        "open": flac(640, says=None),
        "ogg": audio(silence(640), kind="OGG"),
        "just": audio(silence(599), kind="FLAC"),
    }.items():
        (tmp_path / name).write_bytes(data)
    program = f"""
import resource
from pathlib import Path
from tts.sound.reading import NotAudio
from tts.sound.recording import is_quick, record
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
record(Path({str(tmp_path)!r}, "small").read_bytes())
before = peak()
for name in ("told", "ogg", "lies", "open", "just"):
    try:
        print(name, record(Path({str(tmp_path)!r}, name).read_bytes()).duration, end=" ")
    except NotAudio:
        print(name, "refused", end=" ")
    print(peak() - before)
"""
    (tmp_path / "small").write_bytes(audio(tone(1.0), kind="FLAC"))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = map(str.split, done.stdout.splitlines())
    outcomes = {name: (end, int(kilobytes)) for name, end, kilobytes in lines}
    lied = outcomes.pop("lies")
    assert {name: end for name, (end, _) in outcomes.items()} == {
        **dict.fromkeys(("told", "open", "ogg"), "refused"),
        "just": "599.0",
    }
    assert lied[0] == "refused" or float(lied[0]) < 1
    assert outcomes["ogg"][1] < 10 * 1024  # of those up to here, none was decoded
    assert outcomes["just"][1] < 50 * 1024


@pytest.mark.parametrize(
    ("kind", "subtype", "seconds", "quick"),
    [
        ("WAV", "PCM_16", 2.0, True),
        ("WAV", "FLOAT", 2.0, True),
        ("WAV", "FLOAT", 20.0, False),
        ("WAV", "ULAW", 0.1, False),
        ("WAV", "IMA_ADPCM", 0.1, False),
        ("FLAC", None, 0.1, False),
        ("MP3", None, 0.1, False),
    ],
)
def test_only_what_is_short_and_not_packed_is_quick_to_decode(kind, subtype, seconds, quick):
    """Out of a few bytes of anything else may come minutes, for which nobody else should wait."""
    assert is_quick(audio(tone(seconds), kind=kind, subtype=subtype)) == quick


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt \0\0"])
def test_what_ends_before_it_says_what_it_is_is_not_quick(data):
    """Nor is it audio."""
    assert not is_quick(data)
