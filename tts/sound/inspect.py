"""What a file of audio is."""

from __future__ import annotations

from io import BytesIO

import soundfile

from tts.domain.failures import StepError
from tts.ports.audio import AudioInfo

_CONTENT_TYPES = {
    "WAV": "audio/wav",
    "WAVEX": "audio/wav",
    "RF64": "audio/wav",
    "MP3": "audio/mpeg",
    "MPEG": "audio/mpeg",
    "OGG": "audio/ogg",
    "FLAC": "audio/flac",
}


def inspect(data: bytes) -> AudioInfo:
    """Read the headers of ``data``; the model's float WAV, which ``wave`` refuses, is fine.

    Raises:
        StepError: ``not_audio``, permanent, for anything that holds no sound.
    """
    try:
        with soundfile.SoundFile(BytesIO(data)) as sound:
            content_type = _CONTENT_TYPES.get(sound.format)
            frames, sample_rate, channels = sound.frames, sound.samplerate, sound.channels
    except soundfile.LibsndfileError as error:
        raise _not_audio(len(data), error.error_string) from error
    if frames <= 0 or content_type is None:
        raise _not_audio(len(data), "it holds no sound that a browser plays")
    return AudioInfo(frames / sample_rate, sample_rate, channels, content_type)


def _not_audio(size: int, why: str) -> StepError:
    message = f"The output ({size} bytes) is not audio: {why}"
    return StepError("not_audio", "download", message)
