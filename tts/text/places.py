r"""How good each place of a text is to cut it there.

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

from collections.abc import Callable
from enum import IntEnum

import regex
import sentencex

from tts.text.cleanup import MODEL_TAG
from tts.text.numbers import DIGITS, HAN_NUMBER, NUMBER, PART

Fits = Callable[[int, int], bool]  # whether a range is no longer than a segment

# Its search for the other half of each quote is quadratic; a text with more is not looked at so.
QUOTES_MAX = 300

# What it takes grows with the square of the number of sentences.
_AT_ONCE = 1000

_HAN = r"\p{Han}\p{Hiragana}\p{Katakana}"
_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»‹›「」『』（）()[]【】《》〈〉〔〕｛｝{}', " "))
_OPENERS = frozenset("“‘„‟«‹「『（([【《〈〔｛{")
_BEFORE_LATIN = regex.compile(rf"[{_HAN}](?=[A-Za-z])")
_CLOSERS = r"(?:[\p{Pe}\p{Pf}\"'。！？!?…～~.]|</[a-z]+>)*\s*"
_AFTER_SENTENCE = regex.compile(_CLOSERS)
_SENTENCE = regex.compile(rf"(?:[。！？!?…]|\n){_CLOSERS}")
_GAP = regex.compile(r"[。！？\n]|\s")
_CLAUSE = regex.compile(rf"(?:[，、；：—–]|[,;:](?=\s|[{_HAN}\p{{P}}])){_CLOSERS}")
_WORD = regex.compile(
    rf"(?<=\s)[\p{{L}}\p{{N}}\p{{Ps}}\p{{Pi}}]"
    rf"|(?<=[{_HAN}])[A-Za-z\p{{N}}\p{{Ps}}\p{{Pi}}]|(?<=[A-Za-z])[{_HAN}]"
    r"|(?<=\p{Hiragana})[\p{Han}\p{Katakana}]"
)
_JOINING = regex.compile(r"[^\p{GCB=Other}\p{GCB=Control}\p{GCB=LF}]")
_GRAPHEME = regex.compile(r"\X")
_LETTER = regex.compile(r"[\p{L}\p{N}]")
# Each is left whole if it fits, else its parts by the next pattern are.
_PAIR = regex.compile(r"<(strong|laughter)>[^<>\n]{0,300}</\1>")
_TAG = regex.compile(MODEL_TAG)
_ADDRESS = regex.compile(r"(?:https?://|www\.)[!-~]*[0-9A-Za-z/]")
_LATIN = regex.compile(
    rf"[[\p{{L}}\p{{N}}_]--[{_HAN}]]+(?:[.'’@_&/+-]+[[\p{{L}}\p{{N}}_]--[{_HAN}]]+)*(?:\.(?=\s|$))?",
    regex.VERSION1,
)
_WHOLES = (_PAIR, _TAG, _ADDRESS, _LATIN, NUMBER, PART, DIGITS, HAN_NUMBER)


class Cut(IntEnum):
    """How good a place to cut is; 0 is none at all."""

    INSIDE = 1  # a number, an address, a tag or a Latin word
    GRAPHEME = 2
    WORD = 3
    CLAUSE = 4
    INNER_SENTENCE = 5
    SENTENCE = 6


def places(text: str, fits: Fits) -> bytearray:
    """The :class:`Cut` of each index; what belongs together is whole where it ``fits``."""
    if _JOINING.search(text) is None:  # as in nearly every text; the rest is five times slower
        marks = bytearray([Cut.GRAPHEME]) * len(text) + bytearray(1)
    else:
        marks = _graphemes(text, fits)
    for whole in _WHOLES:
        for match in whole.finditer(text):
            start, end = match.span()
            if end - start > 1 and fits(start, end):
                for index in range(start + 1, end):
                    marks[index] = min(marks[index], Cut.INSIDE)
    shown = _BEFORE_LATIN.sub(" ", text)
    unquoted = shown.translate(_QUOTES)
    _mark(marks, Cut.WORD, [word.start() for word in _WORD.finditer(text)])
    _mark(marks, Cut.CLAUSE, [clause.end() for clause in _CLAUSE.finditer(text)])
    few = sum(shown.count(quote) for quote in "\"“”«»「」『』（）()'‘’") <= QUOTES_MAX
    outer = [_after(text, end) for end in _sentences(shown if few else unquoted)]
    inner = outer
    if few and unquoted != shown:
        inner = [_after(text, end) for end in _sentences(unquoted)]
    _mark(marks, Cut.INNER_SENTENCE, [mark.end() for mark in _SENTENCE.finditer(text)])
    _mark(marks, Cut.INNER_SENTENCE, inner)
    _mark(marks, Cut.SENTENCE, outer)
    return marks


def _graphemes(text: str, fits: Fits) -> bytearray:
    marks = bytearray(len(text) + 1)
    for grapheme in _GRAPHEME.finditer(text):
        start, end = grapheme.span()
        marks[start] = Cut.GRAPHEME
        if end - start > 1 and not fits(start, end):
            for letter in _LETTER.finditer(text, start, end):
                marks[letter.start()] = Cut.GRAPHEME
    return marks


def _sentences(text: str) -> list[int]:
    ends: list[int] = []
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > 2 * _AT_ONCE:
            space = _GAP.search(text, start + _AT_ONCE)
            end = space.end() if space else end
        found = sentencex.get_sentence_boundaries("en", text[start:end])
        ends += [start + sentence["end_index"] for sentence in found]
        start = end
    return ends


def _after(text: str, end: int) -> int:
    """Behind what still belongs to the sentence that ends at ``end``; before what was opened."""
    found = _AFTER_SENTENCE.match(text, end)
    end = found.end() if found else end
    while end > 0 and (
        text[end - 1] in _OPENERS or (text[end - 1] == '"' and text[end - 2 : end - 1].isspace())
    ):
        end -= 1
    return end


def _mark(marks: bytearray, cut: Cut, ends: list[int]) -> None:
    for end in ends:
        if marks[end] >= Cut.GRAPHEME:
            marks[end] = cut
