"""Whether speech can be the whole of a text: a lower bound of the time that it takes to say it.

On average Mandarin has 5.2 syllables a second and English 6.2 (Pellegrino, Coupé and Marsico, "A
cross-language perspective on speech information rate", Language 87, 2011). The bound is a third
faster than that, a pace that a reference voice hardly has for a whole segment. So whole speech is
hardly ever under it, and speech at an average pace of which two fifths are missing always is.
"""

from __future__ import annotations

import regex

HAN_SECONDS = 0.14  # a syllable each: 7 a second
LETTER_SECONDS = 0.05  # 20 a second, some four words
DIGIT_SECONDS = 0.12  # a word of its own, or a part of one
SHORTEST_SECONDS = 2.0  # a text that may take less is too short for an estimate

_SYLLABLE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")
_DIGIT = regex.compile(r"\p{Nd}")
_LETTER = regex.compile(r"[\p{L}--[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]]", regex.VERSION1)


def least_seconds(text: str) -> float:
    """The time in which nobody speaks ``text``, in seconds; punctuation takes none."""
    return (
        len(_SYLLABLE.findall(text)) * HAN_SECONDS
        + len(_LETTER.findall(text)) * LETTER_SECONDS
        + len(_DIGIT.findall(text)) * DIGIT_SECONDS
    )


def too_short(text: str, duration: float) -> bool:
    """Whether audio of ``duration`` seconds cannot be all of ``text``; an estimate, no proof."""
    least = least_seconds(text)
    return least >= SHORTEST_SECONDS and duration < least
