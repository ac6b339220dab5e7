"""Real speech without a network: espeak-ng, shipped as a wheel, called through ctypes."""

from __future__ import annotations

import ctypes
import io
import re
import threading
import zlib
from functools import cache

import espeakng_loader
import numpy as np
import numpy.typing as npt
import soundfile

SAMPLE_RATE = 24_000
TONE_SECONDS = 0.25  # at least
HAN_SECONDS = 0.22
LETTER_SECONDS = 0.07
DIGIT_SECONDS = 0.3  # 1997 is seven syllables
SILENCE_SECONDS = 0.2

# From speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
POS_CHARACTER = 1
ESPEAK_CHARS_UTF8 = 1

# The library is one global machine for the process and not thread-safe, however many sandboxes run.
_LOCK = threading.Lock()
_HAN = re.compile(r"[\u3400-\u9fff]")
_SYLLABLE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_DIGIT = re.compile(r"\d")
_Samples = npt.NDArray[np.float32]
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def wav(kind: str, text: str) -> bytes:
    """The text as a ``voice`` or a ``tone``: 24 kHz mono in 32-bit floats."""
    samples = _tone(text) if kind == "tone" else _speak(text)
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def mp3(text: str) -> bytes:
    """The text spoken."""
    file = io.BytesIO()
    soundfile.write(file, _speak(text), SAMPLE_RATE, format="MP3")
    return file.getvalue()


def _tone(text: str) -> _Samples:
    pitch = 200 + zlib.crc32(text.encode()) % 600
    syllables, digits = len(_SYLLABLE.findall(text)), len(_DIGIT.findall(text))
    letters = len(text) - syllables - digits
    seconds = syllables * HAN_SECONDS + digits * DIGIT_SECONDS + letters * LETTER_SECONDS
    seconds = max(TONE_SECONDS, seconds)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def _speak(text: str) -> _Samples:
    voice = b"cmn" if _HAN.search(text) else b"en"
    parts: list[bytes] = []

    def collect(wave: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if wave and count > 0:
            parts.append(ctypes.string_at(wave, 2 * count))
        return 0

    callback = _CALLBACK(collect)
    encoded = text.replace("\0", "").encode()
    with _LOCK:
        library, rate = _library()
        library.espeak_SetSynthCallback(callback)
        _check("espeak_SetVoiceByName", library.espeak_SetVoiceByName(voice))
        _check(
            "espeak_Synth",
            library.espeak_Synth(
                encoded,
                ctypes.c_size_t(len(encoded) + 1),
                0,
                POS_CHARACTER,
                0,
                ESPEAK_CHARS_UTF8,
                None,
                None,
            ),
        )
    samples = np.frombuffer(b"".join(parts), dtype="<i2").astype(np.float32) / 32768
    if not samples.size:
        return np.zeros(int(SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    wanted = np.arange(samples.size * SAMPLE_RATE // rate) * (rate / SAMPLE_RATE)
    resampled: _Samples = np.interp(wanted, np.arange(samples.size), samples).astype(np.float32)
    return resampled


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(
        AUDIO_OUTPUT_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0
    )
    if rate <= 0:
        raise RuntimeError(f"espeak-ng does not start: {rate}")
    return library, rate


def _check(call: str, result: int) -> None:
    if result != 0:
        raise RuntimeError(f"{call} failed: {result}")
