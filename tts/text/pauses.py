"""How long one pauses at a place of a text, where two predictions of it meet.

Longer, the more ends there. Each figure is all of the silence, from the end of the voice before to
the beginning of the one after: what the model leaves at the ends of its outputs is no measure, it
differs from one prediction to the next.
"""

from __future__ import annotations

import regex

LINE_SECONDS = 0.7  # a paragraph, a line of a poem or of a list
SENTENCE_SECONDS = 0.45
CLAUSE_SECONDS = 0.22
INSIDE_SECONDS = 0.06  # where a phrase or a word had to be cut; less would be heard as a slip

_REACH = 64  # characters on either side that are looked at
_CLOSERS = r"(?:</?[a-z]{1,12}>|[\p{Pe}\p{Pf}\"'*_`|\p{Zs}\t])*+"
_LINE_END = regex.compile(r"[\n\r\u2028\u2029]\s*+(?P<item>[-*+•>#|]+\s*)?$")
_LINE_START = regex.compile(r"[\p{Zs}\t]*+[\n\r\u2028\u2029]")
_MARK = regex.compile(
    rf"(?:(?P<sentence>[。｡．！？!?….‥؟।])|(?P<clause>[，,、；;：:—–~～]))\s*{_CLOSERS}\s*$"
)
_WRAPPED = regex.compile(r"\p{L}[\p{Zs}\t]*$")


def pause_seconds(text: str, at: int) -> float:
    """The pause between ``text[:at]`` and ``text[at:]``."""
    before, after = text[max(0, at - _REACH) : at], text[at : at + _REACH]
    mark = _MARK.search(before)
    line = _LINE_END.search(before)
    if line or _LINE_START.match(after):
        # A line that goes on in small letters was only wrapped.
        last = before[: line.start()] if line else before
        item = line is not None and line["item"]
        if item or not (_WRAPPED.search(last) and after.lstrip()[:1].islower()):
            return LINE_SECONDS
    if mark is None:
        return INSIDE_SECONDS
    return SENTENCE_SECONDS if mark["sentence"] else CLAUSE_SECONDS
