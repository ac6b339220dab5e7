"""What is said of a wrong value: which character is wrong, and never a secret."""

from __future__ import annotations

import re
import unicodedata

SHOWN_CHARACTERS = 100

_NAMES = {"\n": "a line break", "\r": "a line break", " ": "a blank", "\t": "a tab"}
_CREDENTIALS = re.compile(r"(^|//)[^\s/]*@|(^|//)\S*@")
_TYPOGRAPHIC = frozenset("‘’‚‛“”„‟«»‹›「」『』＂＇")


def quotation(value: object) -> str:
    """The value as a message shows it: on one line, not too long, without user and password."""
    text = value if isinstance(value, str) else str(value)
    text = _CREDENTIALS.sub(r"\1\2***@", text)
    if len(text) > SHOWN_CHARACTERS:
        text = text[:SHOWN_CHARACTERS] + "…"
    return ascii(text) if any(unicodedata.category(c) == "Cs" for c in text) else repr(text)


def character(wrong: str) -> str:
    """The name of a character, for somebody who cannot see it."""
    return _NAMES.get(wrong) or f"the character {unicodedata.name(wrong, f'U+{ord(wrong):04X}')}"


def without_controls(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: it holds a character that nobody can see or that ends a line.
    """
    for place, one in enumerate(text, 1):
        if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            raise ValueError(f"must be plain text: it has {character(one)} at place {place}")
    return text


def visible_ascii(text: str, *, quotes: bool = False) -> str:
    """The text itself; ``quotes`` may stand in it or not.

    Raises:
        ValueError: it holds a blank or anything but a letter, digit or sign of ASCII.
    """
    for place, one in enumerate(text, 1):
        if not "!" <= one <= "~" or (one in "\"'" and not quotes):
            raise ValueError(
                f"must be letters, digits and signs only: it has {character(one)} at place {place}"
            )
    return text


def password(text: str) -> str:
    """The text itself; blanks may stand inside.

    Raises:
        ValueError: it holds what a copy brought along: a line break, a quote, blanks around it.
    """
    without_controls(text)
    if text != text.strip():
        raise ValueError("must not begin or end with a blank")
    for place, one in enumerate(text, 1):
        if one in _TYPOGRAPHIC:
            raise ValueError(f"must be without quotes: it has {character(one)} at place {place}")
    return text
