"""How loud something is, in windows of 10 ms, and whether it can be a voice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

WINDOW_SECONDS = 0.01
# Below -50 dBFS over 10 ms nobody hears anything of a voice.
SILENCE = 10 ** (-50 / 20)
# The loudest of a voice that somebody listens to is far above -40 dBFS, and a click lasts less.
VOICE = 10 ** (-40 / 20)
SYLLABLE_SECONDS = 0.05

Levels = npt.NDArray[np.float64]


def window(rate: int) -> int:
    """The frames of a window."""
    return max(1, int(WINDOW_SECONDS * rate))


def levels(samples: npt.NDArray[Any], rate: int) -> Levels:
    """How far each window swings around its own mean (its RMS without a constant level).

    ``samples`` are frames by channels, in -1 to 1; what is left over at the end counts as a window.
    """
    size, whole = window(rate), len(samples) // window(rate)
    windows = samples[: whole * size].reshape(whole, size, samples.shape[1])
    parts = [windows, samples[None, whole * size :]]
    swings = [part.std(axis=1, dtype=np.float64) for part in parts if part.size]
    return np.sqrt(np.square(np.concatenate(swings)).mean(axis=1)) if swings else np.zeros(0)


def holds_a_voice(of_all: Levels) -> bool:
    """Whether something is as loud as a voice for as long as a syllable."""
    loud = int(np.count_nonzero(of_all > VOICE))
    return loud * WINDOW_SECONDS >= SYLLABLE_SECONDS
