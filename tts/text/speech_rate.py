"""Whether speech can be the whole of a text: a lower bound of the time that it takes to say it.

Syllables a second on average: Mandarin 5.18, English 6.19, Japanese 7.84 and Spanish 7.82, the
fastest two of those measured (Pellegrino, Coupé and Marsico, "A cross-language perspective on
speech information rate", Language 87, 2011). Whatever is neither Mandarin nor English is taken for
as fast as Japanese. Nobody is expected to be ``HASTE`` times as fast for a whole segment.

Tried on 3,088 segments of Chinese news and 1,159 of English prose, with syllables counted by other
means (wetext; the CMU dictionary): at 1.3 times the average pace 0 % and 0.4 % are suspected; with
two fifths missing at the average pace 99.7 % and 99.8 % are. Tables and program text, which nobody
reads out the same way twice, are found less often (96 %).

Numbers count as they are read out, in their shortest form: 100,000,000 is 一亿.
"""

from __future__ import annotations

from unicodedata import normalize

import regex

from tts.text.length import CHINESE, english
from tts.text.readings import readings

HASTE = 1.47
MANDARIN, ENGLISH, FASTEST = 5.18, 6.19, 7.84  # syllables a second
KANJI_SYLLABLES = 1.8  # a Chinese character in Japanese has on average
CONSONANTS_SYLLABLES = 0.45  # a letter of a script that shows no vowels, or of none that is known
SHORTEST_SECONDS = 2.0  # a text that may take less is too short for an estimate

_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}ー]")
_SMALL_KANA = regex.compile(r"[ぁぃぅぇぉゃゅょゎァィゥェォャュョヮ]")
_HAN = regex.compile(r"\p{Han}")
_HANGUL = regex.compile(r"\p{Hangul}")
_DIGITS = regex.compile(r"\d")
_TAG = regex.compile(r"</?[a-z]+>|<\|[^<>|]*\|>|\[[a-z_-]+\]")
_LATIN = regex.compile(r"[\p{Latin}\p{M}'’]+")
_OTHER = regex.compile(
    r"[\p{L}--[\p{Latin}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー]]", regex.VERSION1
)
_VOWELS = regex.compile(r"[aeiouyæœøı]+")
# The e of an English "time", "times", "called" is not heard.
_MUTE = regex.compile(
    r"(?<=[aeiouy].*)(?:(?<=[^aeiouyl])e|(?<=[^aeiouylsxzcgh])es|(?<=[^aeiouydt])ed)$"
)


def least_seconds(text: str) -> float:
    """The time in which nobody speaks ``text``, in seconds; punctuation takes none."""
    text = _TAG.sub(" ", text)
    kana = len(_KANA.findall(text)) - len(_SMALL_KANA.findall(text))
    han = len(_HAN.findall(text))
    japanese = kana > 0.1 * han
    in_english = english(text)
    seconds = kana / FASTEST + len(_HANGUL.findall(text)) / FASTEST
    seconds += han * (KANJI_SYLLABLES / FASTEST if japanese else 1 / MANDARIN)
    pace = ENGLISH if in_english or (han and not japanese) else FASTEST
    seconds += (
        sum(_syllables(word, in_english=pace == ENGLISH) for word in _LATIN.findall(text)) / pace
    )
    seconds += len(_OTHER.findall(text)) * CONSONANTS_SYLLABLES / FASTEST
    for _, _, number in readings(text):
        if CHINESE.search(text) and not japanese:
            seconds += number.chinese_least / MANDARIN
        else:
            seconds += number.syllables / (ENGLISH if in_english else FASTEST)
    return seconds / HASTE


def too_short(text: str, duration: float) -> bool:
    """Whether audio of ``duration`` seconds cannot be all of ``text``; an estimate, no proof."""
    least = least_seconds(text)
    return least >= SHORTEST_SECONDS and duration < least


def _syllables(word: str, *, in_english: bool) -> int:
    """The groups of vowels in a word of Latin letters; a word without a vowel is spelled."""
    letters = normalize("NFD", word.lower())
    if in_english:
        letters = _MUTE.sub("", letters)
    return len(_VOWELS.findall(letters)) or min(len(word), 6)
