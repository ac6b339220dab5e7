"""What speech is stored as: WAV, or smaller as MP3 or Opus, written as it comes.

libsndfile encodes (LGPL, with LAME and libopus in it). soundfile brings it, which listens to all
audio anyway, so that nothing more is installed. What else was looked at: lameenc (a wheel of 0.2
MB, LGPL) makes MP3 alone, PyAV (36 MB, BSD, an FFmpeg) everything, miniaudio (0.6 MB, MIT) only
WAV, and pyogg and opuslib (some KB, BSD) need a libopus that somebody else installs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
import soundfile

from tts.domain.failures import StepError
from tts.domain.values import AudioFormat
from tts.sound.pcm import FULL_SCALE, SAMPLE_BYTES, Pcm, PcmWriter
from tts.sound.recording import Recording
from tts.sound.resampling import Resampler

CHANNELS_MOST = 2  # what is more is mixed into one

T = TypeVar("T")


class Writer(Protocol):
    """Writes speech to a file that can be sought in; :meth:`finish` makes it whole.

    ``size`` is in bytes of 16-bit samples, ``duration`` in seconds, of what was written.
    """

    rate: int
    channels: int
    size: int

    @property
    def duration(self) -> float: ...  # noqa: D102 -- see above

    def write(self, samples: Pcm) -> None: ...  # noqa: D102

    def finish(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class _Encoder:
    """As libsndfile calls it; ``rates`` (Hz) are those that it takes, ascending."""

    kind: str
    subtype: str
    rates: tuple[int, ...]
    quality: Mapping[str, Any]

    def rate_for(self, rate: int) -> int:
        return next((each for each in self.rates if each >= rate), self.rates[-1])


# Of a voice at 24 kHz, MP3 has some 65 kbit/s (as LAME's V5), Opus 32: a level is a share of what
# lies between 6 and 256 kbit/s a channel, from above.
_ENCODERS = {
    AudioFormat.MP3: _Encoder(
        "MP3",
        "MPEG_LAYER_III",
        (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
        {"bitrate_mode": "VARIABLE", "compression_level": 0.5},
    ),
    AudioFormat.OPUS: _Encoder(
        "OGG", "OPUS", (8_000, 12_000, 16_000, 24_000, 48_000), {"compression_level": 0.896}
    ),
}


def unwritable(audio_format: AudioFormat) -> str:
    """Why the format cannot be written on this machine, and what to do; empty if it can be."""
    encoder = _ENCODERS.get(audio_format)
    if encoder is None or soundfile.check_format(encoder.kind, encoder.subtype):
        return ""
    return (
        f"libsndfile {soundfile.__libsndfile_version__} of this machine cannot write "
        f"{audio_format.value}; soundfile's own can: pip install --force-reinstall --only-binary "
        "soundfile soundfile"
    )


def writer(audio_format: AudioFormat, file: BinaryIO, rate: int, channels: int) -> Writer:
    """What writes a file of the format.

    Raises:
        StepError: ``format_unavailable``: this machine cannot write it.
    """
    if audio_format is AudioFormat.WAV:
        return PcmWriter(file, rate, channels)
    if problem := unwritable(audio_format):
        raise StepError("format_unavailable", "audio", problem)
    return _EncodingWriter(_ENCODERS[audio_format], file, rate, channels)


def encoded(recording: Recording, audio_format: AudioFormat) -> bytes:
    """The recording as a whole file of the format; blocks.

    Raises:
        StepError: as :func:`writer`.
    """
    if audio_format is AudioFormat.WAV:
        return recording.data
    file = BytesIO()
    encoder = writer(audio_format, file, recording.rate, recording.channels)
    encoder.write(recording.samples)
    encoder.finish()
    return file.getvalue()


class _EncodingWriter:
    def __init__(self, encoder: _Encoder, file: BinaryIO, rate: int, channels: int) -> None:
        self.rate = rate
        self.channels = channels
        self.size = 0
        self._mixed = channels if channels <= CHANNELS_MOST else 1
        wanted = encoder.rate_for(rate)
        self._resampler = None if wanted == rate else Resampler(rate, wanted, self._mixed)
        self._file = file
        self._sink = _Sink(file)
        self._sound = self._sink.outcome_of(
            lambda: soundfile.SoundFile(
                self._sink,
                "w",
                wanted,
                self._mixed,
                subtype=encoder.subtype,
                format=encoder.kind,
                **encoder.quality,
            )
        )

    @property
    def duration(self) -> float:
        return self.size / SAMPLE_BYTES / self.channels / self.rate

    def write(self, samples: Pcm) -> None:
        self.size += samples.nbytes
        # A second at a time: libsndfile takes what it is given as a whole onto its stack.
        for at in range(0, len(samples), self.rate):
            block = samples[at : at + self.rate]
            if self._mixed < self.channels:
                block = block.mean(axis=1, keepdims=True).astype(np.int16)
            self._encode(self._resampler.add(block) if self._resampler else [block])

    def finish(self) -> None:
        if self._resampler:
            self._encode(self._resampler.finish())
        self._sink.outcome_of(self._sound.close)
        self._file.flush()

    def _encode(self, blocks: Iterable[Pcm]) -> None:
        for block in blocks:
            # As floats: of 16-bit stereo, libsndfile 1.2.2 makes a torn MP3.
            self._sink.outcome_of(partial(self._sound.write, block / np.float32(FULL_SCALE)))


class _Sink:
    """The file as libsndfile sees it, which calls back: nothing can be raised through it.

    It would be printed, and lost. So every call looks as if it went well, and :meth:`outcome_of`
    raises afterwards what went wrong. Who is given up in the middle finds the file closed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | ValueError | None = None

    def outcome_of(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, which writes to this."""
        result = work()
        if self._error is not None:
            raise self._error
        return result

    def write(self, data: bytes) -> int:
        return self._tried(lambda: self._file.write(data), len(data))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._tried(lambda: self._file.seek(offset, whence), 0)

    def tell(self) -> int:
        return self._tried(self._file.tell, 0)

    def _tried(self, call: Callable[[], int], otherwise: int) -> int:
        try:
            return call()
        except (OSError, ValueError) as error:
            self._error = self._error or error
            return otherwise
