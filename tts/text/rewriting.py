"""A text that is changed step by step and still knows where each of its characters came from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TypeAlias

import regex

Match: TypeAlias = "regex.Match[str]"


class Rewriting:
    """``text`` as it is now; ``origins[i]`` is where its ``i``-th character was in the first text.

    What is put in a place comes from where that place began, all of it, so that no range of the
    first text tears it. The origins never go back.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.origins = list(range(len(text)))

    def edit(self, edits: Iterable[tuple[int, int, str]]) -> None:
        """Put each text in its place ``(start, end, text)``; the places come in order."""
        texts: list[str] = []
        origins: list[int] = []
        done = 0
        for start, end, new in edits:
            if new == self.text[start:end]:
                continue
            texts += self.text[done:start], new
            origins += self.origins[done:start]
            origins += [self.origins[min(start, len(self.origins) - 1)]] * len(new)
            done = end
        if done:
            texts.append(self.text[done:])
            origins += self.origins[done:]
            self.text, self.origins = "".join(texts), origins

    def replace(self, pattern: regex.Pattern[str], by: str | Callable[[Match], str]) -> None:
        """Put ``by``, or what it makes of the match, where ``pattern`` matches."""
        self.edit(
            (*match.span(), by if isinstance(by, str) else by(match))
            for match in pattern.finditer(self.text)
        )

    def keep(self, pattern: regex.Pattern[str]) -> None:
        """Leave only the first group of what ``pattern`` matches."""
        edits = []
        for match in pattern.finditer(self.text):
            edits.append((match.start(), match.start(1), ""))
            edits.append((match.end(1), match.end(), ""))
        self.edit(edits)

    def between(self, start: int, end: int) -> str:
        """What became of the range of the first text."""
        return self.text[bisect_left(self.origins, start) : bisect_left(self.origins, end)]
