"""Whether a text is short, told at a glance: most texts are, and every request asks.

It knows plain texts alone: letters of English, Chinese characters, digits, and the usual marks
between them. Nothing that is done to such a text before it is sent makes it longer, and each of its
characters counts little. A test holds it against the whole way round.
"""

from __future__ import annotations

import re

# A host, such as www.example.com, is spoken with more words than it has characters.
_POINT = r"(?<![wW]{3})\."
_ENGLISH = r"A-Za-z0-9 ,!?;:'\"()%\-"
_CHINESE = rf"{_ENGLISH}\u4e00-\u9fff，。！？；：、（）《》“”‘’…—"
_PLAIN_ENGLISH = re.compile(rf"(?:[{_ENGLISH}]++|{_POINT})*+")
# One character at least is Chinese: without any, marks count as more than one.
_PLAIN_CHINESE = re.compile(rf"(?=[^\u4e00-\u9fff]*+[\u4e00-\u9fff])(?:[{_CHINESE}]++|{_POINT})*+")
_DIGIT = re.compile(r"[0-9]")
_CHARACTER_MOST = 1.1  # what a character that is no digit counts, and
_DIGIT_MOST = 3.5  # what one is that is read out: 1% is 百分之一


def is_short(text: str, limit: int) -> bool:
    """Whether the text is certainly no longer than ``limit``, as :class:`Length` counts.

    False says nothing.
    """
    if _CHARACTER_MOST * len(text) + 1 > limit:
        return False
    if not (_PLAIN_CHINESE.fullmatch(text) or _PLAIN_ENGLISH.fullmatch(text)):
        return False
    digits = len(_DIGIT.findall(text))
    return _CHARACTER_MOST * (len(text) - digits) + _DIGIT_MOST * digits + 1 <= limit
