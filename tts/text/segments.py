"""Which ranges of a text are spoken by one prediction each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from math import inf

from tts.text.glance import is_short
from tts.text.length import CHINESE, Length
from tts.text.places import Cut, places
from tts.text.sending import rewritten
from tts.text.words import word_ends

SPOKEN_LEAST = 15  # letters and digits; the model speaks fewer badly

# What is to be kept small, in hundredths of a prediction. A cut inside a sentence costs a little
# more than a prediction, one inside a word far more, a short segment more than either.
_PREDICTION = 100.0
_CUTS = [2000.0] * (Cut.SENTENCE + 1)
_CUTS[Cut.GRAPHEME] = 360.0
_CUTS[Cut.WORD] = 200.0
_CUTS[Cut.CLAUSE] = 110.0
_CUTS[Cut.INNER_SENTENCE] = 15.0
_CUTS[Cut.SENTENCE] = 0.0
_SHORT = 400.0
_SHORT_EACH = 25.0
_UNEVEN = 30.0
_STEPS = 11  # places that are weighed in the length of one segment


def split(text: str, limit: int | None = None, *, cleanup: bool = True) -> list[list[int]]:
    """The ``[start, end)`` ranges, in order, that cover ``text`` without gap or overlap.

    ``limit`` is what the model speaks at once, as it counts (see :class:`Length`; at least 1; None
    for no limit), of what is sent for the text (see :func:`model_text`). The ranges are about as
    long as each other, end with a sentence if they can, else with a clause, else with a word, and
    none has fewer than ``SPOKEN_LEAST`` letters and digits if that can be had. Every range holds a
    letter or a digit that is sent, because a model fails on one that does not; only a text without
    any is one range of that kind.

    A range is longer than ``limit`` in one case: it is a single character, with its marks.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a segment's limit must be at least 1, not {limit}")
    if limit is None or not text or is_short(text, limit):
        return [[0, len(text)]]
    sent = rewritten(text, cleanup=cleanup)
    length = Length(sent.text)
    if length.of(0, len(sent.text)) <= limit:
        return [[0, len(text)]]
    ends = [sent.origins[cut] for cut in _cuts(sent.text, sent.origins, length, limit)]
    return [[start, end] for start, end in pairwise([0, *ends, len(text)])]


def speakable(text: str) -> bool:
    """Whether there is anything in the text that a model could speak."""
    return any(map(str.isalnum, text))


def _cuts(text: str, origins: list[int], length: Length, limit: int) -> list[int]:
    """Where the text is cut at the lowest price, by dynamic programming over the places."""
    spoken = [0, *accumulate(map(str.isalnum, text))]
    marks = places(text, lambda start, end: length.of(start, end) <= limit)
    for index, (before, here) in enumerate(pairwise(origins), 1):
        if before == here:  # both came from one place of the text
            marks[index] = 0
    ends = _candidates(text, marks, spoken, length, limit)
    letters = [spoken[end] for end in ends]
    entries = [0.0] * len(ends)  # the price of all before a place, with that of the cut there
    previous = [0] * len(ends)
    for here in range(1, len(ends)):
        best, end = inf, ends[here]
        for there in range(here - 1, -1, -1):
            size = length.of(ends[there], end)
            if size > limit and there < here - 1:
                break
            price = entries[there] + _UNEVEN * (1 - size / limit) ** 2
            short = SPOKEN_LEAST - letters[here] + letters[there]
            if short > 0:
                price += _SHORT + _SHORT_EACH * short
            if price < best:
                best, previous[here] = price, there
        entries[here] = best + _PREDICTION + _CUTS[marks[end]]
    cuts = []
    here = previous[-1]
    while here:
        cuts.append(ends[here])
        here = previous[here]
    return cuts[::-1]


def _candidates(
    text: str, marks: bytearray, spoken: list[int], length: Length, limit: int
) -> list[int]:
    """The places that are weighed, the first and the last included; something is said between two.

    Of several that stand close together only the best is.
    """
    step = max(1, limit // _STEPS)
    ends = [0]
    for index in _breaks(text, marks, length, limit):
        if spoken[index] == 0:
            continue
        if spoken[index] == spoken[-1]:
            break
        last = ends[-1]
        near = last and (spoken[index] == spoken[last] or length.of(ends[-2], index) - 1 <= step)
        if not near:
            ends.append(index)
        elif marks[index] >= marks[last]:
            ends[-1] = index
    return [*ends, len(text)]


def _breaks(text: str, marks: bytearray, length: Length, limit: int) -> Iterator[int]:
    """Clauses and sentences, and where these are far apart, words, and so on."""
    strong = [index for index, mark in enumerate(marks) if mark >= Cut.CLAUSE and index]
    for start, end in pairwise([0, *strong, len(text)]):
        if length.of(start, end) > limit / 2:
            _mark_words(text, marks, start, end)
            words = [index for index in range(start + 1, end) if marks[index] >= Cut.WORD]
            for left, right in pairwise([start, *words, end]):
                if length.of(left, right) > limit / 4:
                    yield from _inner_breaks(marks, left, right, length, limit)
                yield right
        else:
            yield end


def _inner_breaks(
    marks: bytearray, start: int, end: int, length: Length, limit: int
) -> Iterator[int]:
    """Places between graphemes; inside of what belongs together only if that does not fit."""
    last = start
    for index in range(start + 1, end + 1):
        if index == end or marks[index] >= Cut.GRAPHEME:
            if length.of(last, index) > limit:
                yield from (inner for inner in range(last + 1, index) if marks[inner])
            if index < end:
                yield index
            last = index


def _mark_words(text: str, marks: bytearray, start: int, end: int) -> None:
    """Mark where a Chinese word ends, as far as somebody knows."""
    if CHINESE.search(text, start, end) is None:
        return
    for word in word_ends(text[start:end]):
        if start + word < end and marks[start + word] == Cut.GRAPHEME:
            marks[start + word] = Cut.WORD
