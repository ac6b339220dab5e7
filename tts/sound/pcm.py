"""WAV of 16-bit PCM, what is stored unless asked otherwise: every browser and phone plays it."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

FULL_SCALE = 32768
SAMPLE_BYTES = 2
HEADER_BYTES = 44
BYTES_MOST = 2**32 - HEADER_BYTES  # its lengths have 32 bits

Pcm = npt.NDArray[np.int16]


def pcm(samples: npt.NDArray[Any]) -> Pcm:
    """Numbers from -1 to 1 as 16-bit samples; what was 16-bit before is the same again."""
    scaled = np.rint(samples.clip(-1, 1) * FULL_SCALE)
    whole: Pcm = scaled.clip(None, FULL_SCALE - 1).astype("<i2")
    return whole


def samples_of(wav: bytes, channels: int) -> Pcm:
    """The samples, frames by channels, of a file that a :class:`PcmWriter` has written."""
    return np.frombuffer(wav, "<i2", offset=HEADER_BYTES).reshape(-1, channels)


class PcmWriter:
    """Writes a WAV to a file that can be sought in; :meth:`finish` makes it whole."""

    def __init__(self, file: BinaryIO, rate: int, channels: int) -> None:
        self.rate = rate
        self.channels = channels
        self.size = 0  # bytes of samples
        self._file = file
        self._file.write(self._header())

    @property
    def duration(self) -> float:
        """Of what was written, in seconds."""
        return self.size / SAMPLE_BYTES / self.channels / self.rate

    def write(self, samples: Pcm) -> None:
        """Add frames."""
        self._file.write(samples.tobytes())
        self.size += samples.nbytes

    def finish(self) -> None:
        """Say in the header how much there is."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()

    def _header(self) -> bytes:
        frame = SAMPLE_BYTES * self.channels
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", HEADER_BYTES - 8 + self.size, b"WAVE", b"fmt ", 16, 1, self.channels),
            *(self.rate, self.rate * frame, frame, 8 * SAMPLE_BYTES, b"data", self.size),
        )
