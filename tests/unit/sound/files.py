"""Files of audio, good and bad."""

from io import BytesIO

import numpy as np
import soundfile

RATE = 24_000


def tone(seconds: float, *, rate: int = RATE, channels: int = 1, level: float = 0.5):
    """A voice that never pauses."""
    wave_ = level * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave_[:, None], channels, axis=1).astype(np.float32)


def silence(seconds: float, channels: int = 1):
    """Zeros."""
    return np.zeros((int(seconds * RATE), channels), dtype=np.float32)


def audio(*pieces, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """The pieces as one file of libsndfile's kind."""
    file, samples = BytesIO(), np.concatenate(pieces)
    with soundfile.SoundFile(
        file, "w", rate, samples.shape[1], subtype=subtype, format=kind
    ) as sound:
        for at in range(0, len(samples), 100_000):  # libsndfile crashes on a long Vorbis at once
            sound.write(samples[at : at + 100_000])
    return file.getvalue()


def wav(*pieces, rate: int = RATE, subtype: str = "FLOAT") -> bytes:
    """The pieces as the model makes them."""
    return audio(*pieces, rate=rate, subtype=subtype)


def sizes(data: bytes, riff: int, samples: int) -> bytes:
    """The WAV with other lengths in its header."""
    at = data.index(b"data") + 4
    lengths = (value.to_bytes(4, "little") for value in (riff, samples))
    return data[:4] + next(lengths) + data[8:at] + next(lengths) + data[at + 4 :]
