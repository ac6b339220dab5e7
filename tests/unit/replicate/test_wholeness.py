"""What another download may mend."""

from io import BytesIO

import numpy as np
import pytest
import soundfile

from tts.replicate.wholeness import flaw


def wav(subtype="FLOAT"):
    file = BytesIO()
    soundfile.write(file, np.zeros(2400, np.float32), 24_000, format="WAV", subtype=subtype)
    return file.getvalue()


def with_data_size(data, size):
    at = data.index(b"data") + 4
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_a_whole_wav_has_no_flaw(subtype):
    """Nor has one with something behind its samples."""
    assert flaw(wav(subtype)) is None
    assert flaw(wav(subtype) + b"LIST\x04\0\0\0INFO") is None


@pytest.mark.parametrize("left", [13, 30, 60, 100, -1000, -4, -1])
def test_a_wav_that_is_shorter_than_its_header_says_was_cut(left):
    """Wherever it ends."""
    assert flaw(wav()[:left]) == "it is shorter than its header says"


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0])
def test_a_length_that_was_left_open_is_no_promise(size):
    """Whoever streams a WAV does not know it yet."""
    assert flaw(with_data_size(wav(), size)) is None


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b" \n",
        b"<!doctype html>",
        b"\xef\xbb\xbf<html>",
        b"\n <?xml?>",
        b'{"detail": 1}',
        b"[]",
    ],
)
def test_a_page_is_an_answer_about_the_audio_and_not_the_audio(page):
    """Nor is nothing."""
    assert flaw(page)


@pytest.mark.parametrize(
    "start", [b"ID3\x04", b"\xff\xfb\x90", b"OggS", b"fLaC", b"\0\0\0\x20ftyp"]
)
def test_of_other_audio_nothing_is_said_here(start):
    """Whether it is some is seen when it is opened."""
    assert flaw(start + b"\0" * 100) is None
