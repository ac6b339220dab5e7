"""Text from anywhere, as a terminal may show it: nothing in it commands, hides or reorders."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # C0, C1, bidi and other formats, halves, line ends

CONTROLS = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""C0, C1, bidi controls and line separators, as the inside of a class of any regex dialect."""

_CONTROL = re.compile(f"[{CONTROLS}]")


def is_plain_line(text: str) -> bool:
    """Whether it is one line without C0, C1 and bidi controls, as names and reasons must be."""
    return not _CONTROL.search(text)


def visible(text: str, *, keep: str = "") -> str:
    r"""Each character that a terminal obeys becomes its escape, but for those to ``keep``.

    An escape is ``\u001b``, as JSON writes it, so that JSON stays JSON.

    >>> visible("\x1b[31mred")
    '\\u001b[31mred'
    """
    if text.isprintable():
        return text
    return "".join(
        _escape(one) if unicodedata.category(one) in _INVISIBLE and one not in keep else one
        for one in text
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))
