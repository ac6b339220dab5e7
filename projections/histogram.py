"""Durations as counts in buckets that grow by a tenth: mergeable, and true to a twentieth."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import count, takewhile
from math import ceil, sqrt

GROWTH = 1.1
LONGEST_MS = 30 * 24 * 3600 * 1000
# In milliseconds; a duration is in the first bucket whose bound is not less.
BOUNDS = sorted(
    {ceil(bound) for bound in takewhile(lambda b: b < LONGEST_MS, (GROWTH**n for n in count()))}
)

Histogram = Mapping[str, int]
"""How many there are in each bucket; its number is text, as in JSON."""


def bucket(milliseconds: int) -> str:
    """The bucket of a duration."""
    return str(bisect_left(BOUNDS, min(max(milliseconds, 0), BOUNDS[-1])))


def quantile(histogram: Histogram, share: float) -> float:
    """The duration, in seconds, that ``share`` of them are not longer than."""
    rank = ceil(share * sum(histogram.values()))
    for number in sorted(map(int, histogram)):
        rank -= histogram[str(number)]
        if rank <= 0:
            break
    low = BOUNDS[number - 1] if number else 0
    return round(sqrt(max(low, 1) * BOUNDS[number]) / 1000, 4)
