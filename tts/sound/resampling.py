"""Speech at another rate, a block in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tts.sound.pcm import FULL_SCALE, Pcm, pcm

ZERO_CROSSINGS = 16  # of the kernel, on each side
BLOCK_FRAMES = 4096

Floats = npt.NDArray[np.float64]


class Resampler:
    """Interpolates by a windowed sinc; what the lower rate cannot hold is left out.

    ``n`` frames become ``round(n * wanted / rate)``, whatever the blocks that they come in.
    """

    def __init__(self, rate: int, wanted: int, channels: int) -> None:
        self._step = rate / wanted
        self._cutoff = min(1.0, wanted / rate)
        self._half = math.ceil(ZERO_CROSSINGS / self._cutoff)
        self._offsets = np.arange(1 - self._half, self._half + 1)
        # What is still needed of the frames before; the first ones follow on silence.
        self._held = np.zeros((self._half - 1, channels))
        self._held_from = 1 - self._half
        self._taken = self._given = 0  # frames

    def add(self, samples: Pcm) -> Iterator[Pcm]:
        """Take frames, and give those that can be told by now."""
        self._taken += len(samples)
        self._held = np.concatenate([self._held, samples / FULL_SCALE])
        yield from self._up_to(math.floor((self._taken - self._half) / self._step))

    def finish(self) -> Iterator[Pcm]:
        """Give the rest; silence follows."""
        self._held = np.pad(self._held, ((0, 2 * self._half), (0, 0)))
        yield from self._up_to(round(self._taken / self._step))

    def _up_to(self, frames: int) -> Iterator[Pcm]:
        while self._given < frames:
            count = min(BLOCK_FRAMES, frames - self._given)
            yield pcm(self._interpolated(count))
            self._given += count
        needed = math.floor(self._given * self._step) + 1 - self._half
        self._held = self._held[max(0, needed - self._held_from) :].copy()
        self._held_from = max(self._held_from, needed)

    def _interpolated(self, count: int) -> Floats:
        times = np.arange(self._given, self._given + count) * self._step
        before = np.floor(times).astype(np.int64)
        distances = (times - before)[:, None] - self._offsets
        kernel = np.sinc(self._cutoff * distances) * np.cos(np.pi / 2 * distances / self._half) ** 2
        near = self._held[before[:, None] - self._held_from + self._offsets]
        whole: Floats = np.einsum("nt,ntc->nc", self._cutoff * kernel, near)
        return whole
