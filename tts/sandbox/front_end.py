"""What the model speaks of a text: as much as its front end takes for one segment.

The front end writes numbers out, counts characters if one is Chinese and tokens if none is, and the
model speaks its first segment and silently drops the rest. Tokens are guessed here, a few percent
too low rather than too high.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SPOKEN_MOST = 80  # characters, or tokens
VALUE_DIGITS, MOBILE_DIGITS, YEAR_DIGITS = 12, 11, 4

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_UNIT = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<rest>(?:\.\d+)?[%‰]?年?)|[A-Za-z]+|.", re.DOTALL
)
_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_MYRIADS = ("", "万", "亿", "万亿")


def heard(text: str) -> str:
    """The beginning of ``text`` that is spoken: all of it, unless it is too long."""
    length = 0.0
    for end, size in _sizes(text):
        length += size
        if length > SPOKEN_MOST:
            return text[: end - 1]
    return text


def length(text: str) -> float:
    """What the front end counts, without the full stop that it may add."""
    return sum(size for _, size in _sizes(text))


def written_out(number: str) -> str:
    """Digits in Chinese: a telephone number and a year digit by digit, others by their value."""
    if len(number) > VALUE_DIGITS or len(number) == MOBILE_DIGITS or number.startswith("0"):
        return "".join(_DIGITS[int(digit)] for digit in number)
    groups = re.findall(r"\d{1,4}(?=(?:\d{4})*$)", number)
    parts = [
        _group(group) + myriad
        for group, myriad in zip(groups, _MYRIADS[len(groups) - 1 :: -1], strict=True)
    ]
    words = "".join(part if int(group) else "零" for group, part in zip(groups, parts, strict=True))
    return re.sub("^一十", "十", re.sub("零+", "零", words).strip("零")) or "零"


def _group(group: str) -> str:
    words = ""
    for digit, unit in zip(group, _UNITS[len(group) - 1 :: -1], strict=True):
        words += "零" if digit == "0" else _DIGITS[int(digit)] + unit
    return words.rstrip("零")


def _sizes(text: str) -> Iterator[tuple[int, float]]:
    """Where each word, number or character ends, and what it counts."""
    chinese = _CHINESE.search(text) is not None
    for unit in _UNIT.finditer(text):
        word = unit[0]
        if unit["number"]:
            size = _number(unit["number"].replace(",", ""), unit["rest"], chinese=chinese)
        elif chinese:
            size = float(len(word))
        elif word.isascii():
            size = 0.0 if word.isspace() else max(1.0, len(word) / 6)
        else:
            size = 0.3 if word.isalpha() else 0.5
        yield unit.end(), size


def _number(digits: str, rest: str, *, chinese: bool) -> float:
    if not chinese:
        return max(1.0, sum(digit != "0" for digit in digits) / 2) + len(rest) / 2
    whole = len(digits) if rest == "年" and len(digits) == YEAR_DIGITS else len(written_out(digits))
    return whole + len(rest) + 2 * (rest[-1:] in {"%", "‰"})
