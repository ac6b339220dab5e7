"""A file of audio from outside: bounded by what its header says, before a sample is decoded."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tts.sound.loudness import window
from tts.sound.riff import repaired

logger = logging.getLogger(__name__)

RATES = range(4_000, 192_001)  # Hz
CHANNELS_MOST = 8
SAMPLES_MOST = 600 * 24_000  # over all channels: ten minutes of what the model makes
BLOCK_SAMPLES = 1 << 16
# Of the formats that libsndfile tells by their content, those that audio comes in.
_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "MPEG"}

Samples = npt.NDArray[np.float32]


class NotAudio(Exception):
    """It cannot be read as speech; the message is for clients, and has no inner details."""


class _Stream(soundfile.SoundFile):  # type: ignore[misc] # it has no types
    """Read from its beginning to its end: some files cannot be sought in, and it costs time."""

    def seekable(self) -> bool:
        """Never, so that nothing is sought after each block."""
        return False


class Reading:
    """An open file: ``frames`` is None where its header does not say how many there are."""

    def __init__(self, sound: Any) -> None:  # soundfile has no types
        self.rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.frames: int | None = sound.frames if sound.frames < np.iinfo(np.int64).max else None
        self._sound = sound

    def blocks(self) -> Iterator[Samples]:
        """All samples once (frames by channels), as they are: perhaps no numbers, or beyond 1.

        All but the last block are of whole windows of loudness.

        Raises:
            NotAudio: it is longer than its header says, or cannot be decoded.
        """
        most = SAMPLES_MOST // self.channels if self.frames is None else self.frames
        size = window(self.rate)
        size *= max(1, BLOCK_SAMPLES // size // self.channels)
        done = 0
        while True:
            block: Samples = self._sound.read(size, dtype="float32", always_2d=True)
            done += len(block)
            if done > most:
                raise NotAudio("it is longer than its header says, or than any speech")
            if not len(block):
                return
            yield block


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Reading]:
    """The audio, which is closed at the end.

    Raises:
        NotAudio: no audio, of no length, or larger than any speech.
    """
    try:
        with _Stream(BytesIO(repaired(data))) as sound:
            _check(sound)
            yield Reading(sound)
    except soundfile.SoundFileError as error:
        logger.info("%d bytes cannot be read as audio: %s", len(data), error)
        raise NotAudio("it cannot be read as audio") from error


def _check(sound: Any) -> None:
    described = (sound.format, sound.samplerate, sound.channels, sound.frames)
    if sound.format not in _FORMATS:
        why = "it is in no format that speech comes in"
    elif sound.samplerate not in RATES or not 0 < sound.channels <= CHANNELS_MOST:
        why = "it has a rate, or a number of channels, that speech does not have"
    elif sound.frames <= 0:
        why = "it holds no sound"
    elif sound.frames * sound.channels > SAMPLES_MOST and Reading(sound).frames is not None:
        why = "it is longer than any speech"
    else:
        return
    logger.info("Refused audio (format, rate, channels, frames): %s", described)
    raise NotAudio(why)
