r"""Which ranges of a text are spoken by one prediction each.

Sentences are found by sentencex (Wikimedia's, Rust, MIT). Compared with it on Chinese, English and
mixed text: pysbd cuts Chinese closing quotes off their sentence and URLs at ``?`` (70 to 150 ms for
10,000 characters, sentencex 0.4 to 2.5); blingfire cuts the quotes off too and drops the spaces
between sentences; uniseg and PyICU know no abbreviations, cut URLs and leave an opening bracket at
the end of the sentence before (uniseg takes 800 ms). Graphemes are the ``\X`` of ``regex`` (4 ms;
``grapheme`` takes 21).

What no library did is done here: an abbreviation that directly follows a Chinese character is
shown to sentencex with a space in that character's place, and the sentences inside a quotation are
found by a second look at the text without its quotes.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import IntEnum

import regex
import sentencex

# Its search for the other half of each quote is quadratic; a text with more is not looked at so.
QUOTES_MAX = 300

_HAN = r"\p{Han}\p{Hiragana}\p{Katakana}"
_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»‹›「」『』（）()[]【】《》〈〉〔〕｛｝{}', " "))
_OPENERS = frozenset("“‘„‟«‹「『（([【《〈〔｛{")
_BEFORE_LATIN = regex.compile(rf"[{_HAN}](?=[A-Za-z])")
_CLOSERS = r"[\p{Pe}\p{Pf}\"'。！？!?…～~.]*\s*"
_AFTER_SENTENCE = regex.compile(_CLOSERS)
_SENTENCE = regex.compile(rf"(?:[。！？!?…]|\n){_CLOSERS}")
_CLAUSE = regex.compile(rf"(?:[，、；：—–]|[,;:](?=\s|[{_HAN}\p{{P}}])){_CLOSERS}")
_WORD = regex.compile(rf"(?<=[\s{_HAN}])[\p{{L}}\p{{N}}\p{{Ps}}\p{{Pi}}]|(?<!\s)[{_HAN}]")
_JOINING = regex.compile(r"[^\p{GCB=Other}\p{GCB=Control}\p{GCB=LF}]")
_GRAPHEME = regex.compile(r"\X")
# Numbers, times, dates, addresses, dotted and hyphenated words: no cut inside if one can be had
# outside.
_WHOLE = regex.compile(
    rf"(?:https?://|www\.)[!-~]*[0-9A-Za-z/]"
    rf"|[\p{{Sc}}]?\d+(?:[.,:/]\d+)+%?"
    rf"|[[\p{{L}}\p{{N}}_]--[{_HAN}]]+(?:[.'’@_&/+-]+[[\p{{L}}\p{{N}}_]--[{_HAN}]]+)*(?:\.(?=\s|$))?",
    regex.VERSION1,
)


class _Cut(IntEnum):
    """How good a place to cut is; 0 is none at all."""

    INSIDE = 1  # a number, an address or a word
    GRAPHEME = 2
    WORD = 3
    CLAUSE = 4
    INNER_SENTENCE = 5
    SENTENCE = 6


def split(text: str, limit: int | None = None) -> list[list[int]]:
    """The ``[start, end)`` ranges, in order, that cover ``text`` without gap or overlap.

    Each is filled with whole sentences as far as ``limit`` allows (characters, at least 1; None for
    no limit). A sentence that is too long alone is cut at the last sentence inside a quotation, or
    clause, or word, or grapheme that fits. Every range holds a letter or a digit, because a model
    fails on one that does not; only a text without any is one range of that kind.

    A range is longer than ``limit`` in one case: punctuation, spaces, symbols or combining marks
    so many in a row that they do not fit beside the letter that they stand at. :func:`said` cuts
    what is too much. A letter sequence that is one grapheme (Korean jamo) and longer than ``limit``
    is cut all the same, because else it would not be spoken.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a segment's limit must be at least 1, not {limit}")
    spoken = [index for index, char in enumerate(text) if char.isalnum()]
    if limit is None or len(text) <= limit or not spoken:
        return [[0, len(text)]]
    places = _places(text, limit)
    ranges: list[list[int]] = []
    start = 0
    while len(text) - start > limit:
        end = _end(places, spoken, start, limit)
        if end is None:
            break
        ranges.append([start, end])
        start = end
    ranges.append([start, len(text)])
    return ranges


def speakable(text: str) -> bool:
    """Whether there is anything in the text that a model could speak."""
    return any(map(str.isalnum, text))


def said(text: str, limit: int | None = None) -> str:
    """What of a segment's text goes to the model: all, unless punctuation makes it too long."""
    if limit is None or len(text) <= limit:
        return text
    first = next((index for index, char in enumerate(text) if char.isalnum()), 0)
    return text[first : first + limit]


def _end(places: bytearray, spoken: list[int], start: int, limit: int) -> int | None:
    """Where the range that begins at ``start`` ends, or None if it takes the whole rest."""
    first = bisect_left(spoken, start)
    begin = spoken[first]
    if begin - start >= limit:  # so much punctuation that the letter after it does not fit
        start = begin
    best, rank = None, 0
    following = bisect_left(spoken, start + limit)
    for end in range(start + limit, begin, -1):
        while following > 0 and spoken[following - 1] >= end:
            following -= 1
        if following == len(spoken) or spoken[following] - end >= limit:
            continue  # nothing speakable would be left, or what is left would not fit
        if places[end] > rank:
            best, rank = end, places[end]
            if rank == _Cut.SENTENCE:
                break
    if best is not None:
        return best
    # Only surplus punctuation is in the window's end: it goes with the letter before it.
    after = bisect_left(spoken, start + limit)
    while after < len(spoken) and not places[spoken[after]]:
        after += 1
    return spoken[after] if after < len(spoken) else None


def _places(text: str, limit: int) -> bytearray:
    """The :class:`_Cut` of each index."""
    if _JOINING.search(text) is None:  # as in nearly every text; the rest is five times slower
        places = bytearray([_Cut.GRAPHEME]) * len(text) + bytearray(1)
    else:
        places = _graphemes(text, limit)
    for whole in _WHOLE.finditer(text):
        if whole.end() - whole.start() <= limit:
            for index in range(whole.start() + 1, whole.end()):
                places[index] = min(places[index], _Cut.INSIDE)
    shown = _BEFORE_LATIN.sub(" ", text)
    unquoted = shown.translate(_QUOTES)
    _mark(places, _Cut.WORD, [word.start() for word in _WORD.finditer(text)])
    _mark(places, _Cut.CLAUSE, [clause.end() for clause in _CLAUSE.finditer(text)])
    inner = [_after(text, end) for end in _sentences(unquoted)]
    inner += [sentence.end() for sentence in _SENTENCE.finditer(text)]
    _mark(places, _Cut.INNER_SENTENCE, inner)
    few = sum(shown.count(quote) for quote in "\"“”«»「」『』（）()'‘’") <= QUOTES_MAX
    _mark(places, _Cut.SENTENCE, [_after(text, e) for e in _sentences(shown if few else unquoted)])
    return places


def _graphemes(text: str, limit: int) -> bytearray:
    places = bytearray(len(text) + 1)
    for grapheme in _GRAPHEME.finditer(text):
        places[grapheme.start()] = _Cut.GRAPHEME
        if grapheme.end() - grapheme.start() > limit:
            for index in range(*grapheme.span()):
                if text[index].isalnum():
                    places[index] = _Cut.GRAPHEME
    return places


def _sentences(text: str) -> list[int]:
    return [found["end_index"] for found in sentencex.get_sentence_boundaries("en", text)]


def _after(text: str, end: int) -> int:
    """Behind what still belongs to the sentence that ends at ``end``; before what was opened."""
    found = _AFTER_SENTENCE.match(text, end)
    end = found.end() if found else end
    while end > 0 and (
        text[end - 1] in _OPENERS or (text[end - 1] == '"' and text[end - 2 : end - 1].isspace())
    ):
        end -= 1
    return end


def _mark(places: bytearray, cut: _Cut, ends: list[int]) -> None:
    for end in ends:
        if places[end] >= _Cut.GRAPHEME:
            places[end] = cut
