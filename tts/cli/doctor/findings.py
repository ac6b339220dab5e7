"""What a look at something has found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tts.config import Settings


class Level(StrEnum):
    """How much it matters."""

    OK = "ok"
    NOTE = "note"  # to be known, or mended at leisure
    WRONG = "wrong"  # the service does not start, or does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """About a ``subject``, which is a setting where one leads to it; the text says what to do."""

    level: Level
    subject: str
    text: str


Look = Callable[[Settings], Awaitable[Iterable[Finding]]]
"""Looks at one thing. It raises nothing but what is wrong with itself."""


def ok(subject: str, text: str) -> Finding:
    """Nothing is to be done."""
    return Finding(Level.OK, subject, text)


def note(subject: str, text: str) -> Finding:
    """Somebody should know."""
    return Finding(Level.NOTE, subject, text)


def wrong(subject: str, text: str) -> Finding:
    """Somebody has to do something."""
    sentence = " ".join(text.split())  # a driver's reason may have several lines
    return Finding(Level.WRONG, subject, sentence.removeprefix(f"{subject}: "))


def advised(reason: str, advice: dict[str, str]) -> str:
    """The reason, and what to do about the first of those words in it."""
    for words, sentence in advice.items():
        if words.lower() in reason.lower():
            return f"{reason}; {sentence}"
    return reason
