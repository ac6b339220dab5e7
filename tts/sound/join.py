"""Several pieces of speech as one WAV, one piece in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tts.domain.failures import StepError
from tts.ports.audio import AudioInfo

# Below -50 dBFS over 10 ms nobody hears anything of a voice.
SILENCE = 10 ** (-50 / 20)
WINDOW_SECONDS = 0.01
# What is left of the silence at a joint, which together is a breath between two sentences.
KEPT_BEFORE_SECONDS = 0.12
KEPT_AFTER_SECONDS = 0.08
CROSSFADE_SECONDS = 0.015

Samples = npt.NDArray[np.float32]


async def join(parts: AsyncIterator[bytes], path: Path) -> AudioInfo:
    """Write ``parts`` to ``path`` as one WAV of 16-bit PCM, which every browser and phone plays.

    Each part is a whole file (16-bit PCM and 32-bit float WAV, or what libsndfile reads else). At a
    joint silence is trimmed and a short crossfade of equal power leaves no click. It works in a
    thread and holds two parts at a time.

    Raises:
        StepError: at step ``audio``: a part is not audio, or its rate or channels are not those of
            the first, permanent both.
    """
    joiner = _Joiner(path)
    try:
        async for data in parts:
            await asyncio.to_thread(joiner.add, data)
        return await asyncio.to_thread(joiner.finish)
    finally:
        joiner.close()


class _Joiner:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._out: Any = None  # soundfile has no types
        self._pending: Samples | None = None  # the last part, whose end is not known to be the end
        self._count = 0

    def add(self, data: bytes) -> None:
        samples = self._read(data)
        self._count += 1
        if self._pending is None:
            self._pending = samples
            return
        rate = self._out.samplerate
        before = _without_silence_behind(self._pending, rate)
        after = _without_silence_before(samples, rate)
        fade = min(len(before), len(after), int(CROSSFADE_SECONDS * rate))
        self._out.write(before[: len(before) - fade])
        self._pending = np.concatenate(
            [_crossfade(before[len(before) - fade :], after[:fade]), after[fade:]]
        )

    def finish(self) -> AudioInfo:
        if self._pending is None:
            raise ValueError("there is nothing to join")
        self._out.write(self._pending)
        self._pending = None
        info = AudioInfo(
            self._out.frames / self._out.samplerate,
            self._out.samplerate,
            self._out.channels,
            "audio/wav",
        )
        self._out.close()
        return info

    def close(self) -> None:
        if self._out is not None:
            self._out.close()

    def _read(self, data: bytes) -> Samples:
        try:
            with soundfile.SoundFile(BytesIO(data)) as sound:
                rate, channels = sound.samplerate, sound.channels
                samples: Samples = sound.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise StepError(
                "not_audio",
                "audio",
                f"part {self._count} ({len(data)} bytes) is not audio: {error.error_string}",
            ) from error
        if self._out is None:
            self._out = soundfile.SoundFile(
                self._path, "w", rate, channels, subtype="PCM_16", format="WAV"
            )
        elif (rate, channels) != (self._out.samplerate, self._out.channels):
            raise StepError(
                "parts_differ",
                "audio",
                f"part {self._count} has {rate} Hz and {channels} channels, the first has "
                f"{self._out.samplerate} Hz and {self._out.channels}: they cannot be joined",
            )
        return samples


def _crossfade(out: Samples, into: Samples) -> Samples:
    """The end of one and the beginning of the other, laid over each other at equal power."""
    angle = np.linspace(0, np.pi / 2, len(out), dtype=np.float32)[:, None]
    faded: Samples = out * np.cos(angle) + into * np.sin(angle)
    return faded


def _without_silence_before(samples: Samples, rate: int) -> Samples:
    loud = _loud_windows(samples, rate)
    first = loud[0] if len(loud) else len(samples) // _window(rate)
    return samples[max(0, first * _window(rate) - int(KEPT_AFTER_SECONDS * rate)) :]


def _without_silence_behind(samples: Samples, rate: int) -> Samples:
    loud = _loud_windows(samples, rate)
    last = loud[-1] + 1 if len(loud) else 0
    return samples[: last * _window(rate) + int(KEPT_BEFORE_SECONDS * rate)]


def _loud_windows(samples: Samples, rate: int) -> npt.NDArray[np.intp]:
    """The numbers of the windows in which something is heard; what is left over counts as one."""
    starts = np.arange(0, len(samples), _window(rate))
    if not len(starts):
        return starts
    power = np.add.reduceat(np.square(samples).mean(axis=1), starts) / _window(rate)
    return np.flatnonzero(power > SILENCE**2)


def _window(rate: int) -> int:
    return max(1, int(WINDOW_SECONDS * rate))
