"""How long a text is for the model: what its front end counts before it drops what is too much.

It counts characters where there is a Chinese one and tokens where there is none, both after
numbers are written out (CosyVoice's ``split_paragraph``). Tokens are estimated. Held against the
vocabulary of Qwen, whose tokenizer the model has, over 1.4 million characters of English prose and
the translations of Django, the estimate is 11 % too high for English, and more for most others.
"""

from __future__ import annotations

from itertools import accumulate

import regex

from tts.text.readings import readings

CHINESE = regex.compile(r"[\u4e00-\u9fff]")
_WORD = regex.compile(r"[A-Za-z]{2,}")
_COMMON = regex.compile(
    r"\b(?:the|of|and|to|a|in|is|it|you|that|he|was|for|on|are|with|as|his|they|be|at|this|have|from"
    r"|or|had|by|not|but|what|we|she|an|my|your|if|will|so|no|do|i)\b",
    regex.IGNORECASE,
)
_COMMON_SHARE = 0.15
_LONG_WORD = 24
# Tokens a letter, by script; nine of ten texts have fewer.
_SCRIPTS = (
    (regex.compile(r"\s"), 0.0),
    (regex.compile(r"[!-/:-@\[-`{-~]"), 1.0),
    (regex.compile(r"\p{Latin}"), 0.7),
    (regex.compile(r"\p{Cyrillic}"), 0.75),
    (regex.compile(r"[\p{Arabic}\p{Hebrew}]"), 0.8),
    (regex.compile(r"\p{Thai}"), 0.7),
    (regex.compile(r"[\p{Hiragana}\p{Katakana}]"), 0.85),
    (regex.compile(r"\p{Hangul}"), 1.1),
    (regex.compile(r"[\p{Greek}\p{Armenian}\p{Georgian}]"), 1.2),
    (regex.compile(r"[\p{Devanagari}\p{Bengali}\p{Tamil}\p{Khmer}\p{Han}]"), 1.4),
    (regex.compile(r"[\p{P}\p{Nd}]"), 1.5),
)
_ELSE = 3.0
_FOREIGN_LETTER = 0.45
_MARGIN = 1.05


def english(text: str) -> bool:
    """Whether the words in Latin letters are English, as far as the most frequent ones tell."""
    return len(_COMMON.findall(text)) >= _COMMON_SHARE * len(_WORD.findall(text))


class Length:
    """The lengths of all ranges of ``text``, each in constant time."""

    def __init__(self, text: str) -> None:
        chinese = [1.0] * len(text)
        tokens = list(map(_TOKENS.__getitem__, text))
        foreign = not english(text)
        for word in _WORD.finditer(text):
            start, end = word.span()
            cost = (end - start) * _FOREIGN_LETTER if foreign else _tokens(word[0])
            if end - start > _LONG_WORD:
                tokens[start:end] = [0.5] * (end - start)
            else:
                tokens[start:end] = [cost, *[0.0] * (end - start - 1)]
        for start, end, number in readings(text):
            width = end - start
            chinese[start:end] = [number.chinese / width] * width
            tokens[start:end] = [number.tokens / width] * width
        self._chinese = [0.0, *accumulate(chinese)]
        self._tokens = [0.0, *accumulate(cost * _MARGIN for cost in tokens)]
        self._han = [0, *accumulate("\u4e00" <= char <= "\u9fff" for char in text)]

    def of(self, start: int, end: int) -> float:
        """What the model counts of ``text[start:end]``, with the full stop that it may add."""
        if self._han[start] == self._han[end]:
            return self._tokens[end] - self._tokens[start] + 1
        return self._chinese[end] - self._chinese[start] + 1


class _Costs(dict[str, float]):
    """Tokens by character, remembered."""

    def __missing__(self, char: str) -> float:
        cost = next((cost for script, cost in _SCRIPTS if script.match(char)), _ELSE)
        self[char] = cost
        return cost


_TOKENS = _Costs()


def _tokens(word: str) -> float:
    """The tokens of an English word on average, by its length and its capitals."""
    if word.islower():
        return 1.0 + 0.07 * max(0, len(word) - 5)
    if word[1:].islower():
        return 1.0 + 0.14 * max(0, len(word) - 3)
    return 0.3 + 0.35 * len(word)
