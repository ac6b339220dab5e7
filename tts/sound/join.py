"""Several pieces of speech as one, a piece in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tts.domain.failures import StepError
from tts.domain.values import AudioFormat
from tts.sound.encoding import Writer, writer
from tts.sound.loudness import SILENCE, levels, window
from tts.sound.pcm import BYTES_MOST, FULL_SCALE, Pcm, pcm
from tts.sound.reading import NotAudio
from tts.sound.recording import Recording, record
from tts.sound.threads import computed

FADE_SECONDS = 0.01
# Of a pause, as far as there is silence: a voice fades away for longer than it begins.
SHARE_BEHIND = 0.6


async def join(
    parts: AsyncIterator[bytes],
    file: BinaryIO,
    pauses: Sequence[float] | None,
    *,
    audio_format: AudioFormat = AudioFormat.WAV,
    limit: int = BYTES_MOST,
) -> float:
    """Write ``parts`` to ``file`` as one audio of the format, and return its duration in seconds.

    Each part is a whole file in any format that can be read. Between two of them is a pause of the
    given seconds: what is silent there is cut to it, and silence is added if it is too little. A
    part that is silent as a whole only lets the longer of its pauses be heard. Without ``pauses``
    the parts are pieces of one recording, and nothing is cut or added. It works in a thread;
    ``limit`` is in bytes of samples.

    Raises:
        StepError: at step ``audio``: a part is not audio, its rate or channels are not those of the
            first, or the whole is larger than the limit; all permanent. Or the format cannot be
            written here.
        OSError: the file cannot be written.
    """
    joiner = _Joiner(partial(writer, audio_format, file), pauses, limit)
    async for data in parts:
        await computed(joiner.add, data)
    return await computed(joiner.finish)


class _Joiner:
    """What is not written yet is ``_end``: the last of a voice, and the silence behind it."""

    def __init__(
        self, writer_of: Callable[[int, int], Writer], pauses: Sequence[float] | None, limit: int
    ) -> None:
        self._writer_of = writer_of  # by rate and channels
        self._pauses = pauses
        self._limit = limit
        self._count = 0
        self._writer: Writer | None = None
        self._end: Pcm = np.zeros((0, 1), np.int16)
        self._spoken = 0  # frames of the voice in it
        self._pause = 0.0

    def add(self, data: bytes) -> None:
        recording = self._read(data)
        if self._pauses is None:
            self._write(recording.samples)
            return
        samples, rate = recording.samples, recording.rate
        start, end = _voice(samples, rate)
        if self._count > 1:
            self._pause = max(self._pause, self._pauses[self._count - 2])
            if start == end:
                return
            start -= self._write_pause(round(self._pause * rate), silent=start)
            self._pause = 0.0
            rising = min(_fade(rate), end - start)
            self._write(_faded(samples[start : start + rising], rising, 0))
            start += rising
        else:
            start = 0  # there is no joint before it
        self._spoken = min(end - start, _fade(rate))
        self._write(samples[start : end - self._spoken])
        self._end = samples[end - self._spoken :].copy()  # the rest need not stay in memory

    def finish(self) -> float:
        if self._writer is None:
            raise ValueError("there is nothing to join")
        self._write(self._end)
        self._writer.finish()
        return self._writer.duration

    def _write_pause(self, frames: int, *, silent: int) -> int:
        """End the voice so far; how many of the ``silent`` frames before the next one are left."""
        behind = min(len(self._end) - self._spoken, int(frames * SHARE_BEHIND))
        before = min(silent, frames - behind)
        self._write(_faded(self._end[: self._spoken + behind], 0, self._spoken))
        self._write(np.zeros((frames - behind - before, self._end.shape[1]), np.int16))
        return before

    def _write(self, samples: Pcm) -> None:
        writer = self._writer
        if writer is None:
            raise ValueError("nothing was read yet")
        if writer.size + samples.nbytes > self._limit:
            raise StepError("audio_too_long", "audio", "All parts together are too long for a WAV")
        writer.write(samples)

    def _read(self, data: bytes) -> Recording:
        self._count += 1
        try:
            recording = record(data)
        except NotAudio as error:
            message = f"Part {self._count} is not audio: {error}"
            raise StepError("not_audio", "audio", message) from error
        rate, channels = recording.rate, recording.channels
        if self._writer is None:
            self._writer = self._writer_of(rate, channels)
        first = self._writer.rate, self._writer.channels
        if (rate, channels) != first:
            raise StepError(
                "parts_differ",
                "audio",
                f"Part {self._count} has {rate} Hz and {channels} channels, the first has "
                f"{first[0]} Hz and {first[1]}: they cannot be joined",
            )
        return recording


def _fade(rate: int) -> int:
    return max(1, int(FADE_SECONDS * rate))


def _faded(samples: Pcm, rising: int, falling: int) -> Pcm:
    """The samples with so many frames faded in at the beginning and out at the end."""
    faded = samples.copy()
    rising, falling = min(rising, len(faded)), min(falling, len(faded))
    faded[:rising] = _scaled(faded[:rising], np.linspace(0, 1, rising, endpoint=False))
    faded[len(faded) - falling :] = _scaled(
        faded[len(faded) - falling :], np.linspace(1, 0, falling)
    )
    return faded


def _scaled(samples: Pcm, gain: npt.NDArray[np.float64]) -> Pcm:
    return pcm(samples * gain[:, None] / FULL_SCALE)


def _voice(samples: Pcm, rate: int) -> tuple[int, int]:
    """From where to where something is heard, in frames; (0, 0) if nothing is."""
    step = 512 * window(rate)
    pieces = [samples[at : at + step] for at in range(0, len(samples), step)]
    swings = [levels(piece.astype(np.float32) / FULL_SCALE, rate) for piece in pieces]
    loud = np.flatnonzero(np.concatenate([np.zeros(0), *swings]) > SILENCE)
    if not len(loud):
        return 0, 0
    return int(loud[0]) * window(rate), min((int(loud[-1]) + 1) * window(rate), len(samples))
