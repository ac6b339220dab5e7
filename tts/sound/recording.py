"""Audio from outside, made into the one kind that is worked on."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np

from tts.sound.loudness import holds_a_voice, levels
from tts.sound.pcm import Pcm, PcmWriter, pcm, samples_of
from tts.sound.reading import Reading, opened
from tts.sound.riff import is_plain

QUICK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Recording:
    """A WAV of 16-bit PCM; ``duration`` in seconds, ``rate`` in Hz.

    ``is_speech`` is whether it can be: not if it is silent or of a constant level, nor if something
    in what it was made of was no number.
    """

    data: bytes
    duration: float
    rate: int
    channels: int
    is_speech: bool

    @property
    def samples(self) -> Pcm:
        """Frames by channels."""
        return samples_of(self.data, self.channels)


def is_quick(data: bytes) -> bool:
    """Whether to decode it takes no longer than to have another thread do it."""
    return len(data) <= QUICK_BYTES and is_plain(data)


def record(data: bytes) -> Recording:
    """Decode a file, a block at a time; the same file always becomes the same recording.

    16-bit samples stay as they are. What is no number, or endless, becomes 0. If the loudest sample
    is beyond 1, all are divided by it: nothing is clipped, so a voice that is too loud is not torn.

    Raises:
        NotAudio: it is none, or larger than any speech.
    """
    with opened(data) as reading:
        recording, loudest = _written(reading, 1.0)
    if loudest > 1:
        del recording  # two of them would need twice the memory
        with opened(data) as reading:
            recording, _ = _written(reading, 1 / loudest)
    return recording


def _written(reading: Reading, gain: float) -> tuple[Recording, float]:
    """The recording, and its loudest sample as it was."""
    file = BytesIO()
    writer = PcmWriter(file, reading.rate, reading.channels)
    heard, loudest, broken = [np.zeros(0)], 0.0, False
    for block in reading.blocks():
        finite = np.isfinite(block)
        if not finite.all():
            broken = True
            block[~finite] = 0
        loudest = max(loudest, float(np.abs(block).max()))
        samples = block * np.float32(gain)
        writer.write(pcm(samples))
        heard.append(levels(samples, reading.rate))
    writer.finish()
    is_speech = not broken and holds_a_voice(np.concatenate(heard))
    recording = Recording(
        file.getvalue(), writer.duration, reading.rate, reading.channels, is_speech
    )
    return recording, loudest
