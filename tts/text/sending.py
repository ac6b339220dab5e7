"""What of a text goes to the model: the same words, in a form that its front end does not spoil.

The front end of CosyVoice deletes line breaks, and spaces beside Chinese, and fails on a text that
begins with a full stop and a closing quote. So a line break is sent as the end of a sentence, a
space between Chinese phrases as a comma, and what closes something before it opened is left out.
"""

from __future__ import annotations

import regex

from tts.text.cleanup import MODEL_TAG, clean
from tts.text.rewriting import Rewriting

SILENT_MOST = 8  # so many characters that nobody speaks are sent in a row

_WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\u3000-\u303f\uff00-\uffef]")
_MARK = regex.compile(r"[\p{P}\p{S}]")
_WORDS = regex.compile(r"[\p{L}\p{N}]")
_BREAK = regex.compile(r"[^\S\n]*\n\s*")
_CLOSER = regex.compile(r"[\p{Pe}\p{Pf}\"'\s]")
_SPACE = regex.compile(r"(?<=\p{Han}{2})[ \t\u3000]+(?=\p{Han}{2})")
_SURPLUS = regex.compile(rf"(?<=[^\p{{L}}\p{{N}}]{{{SILENT_MOST}}})[^\p{{L}}\p{{N}}]+")
_BEGINNING = regex.compile(
    rf"(?:{MODEL_TAG}|\[[a-z_]+\]|(?P<dropped>(?!\.\d)[\p{{Pe}}\p{{Pf}}\s.。．!！?？,，、;；:：…·~～—–])"
    r"|[^\p{L}\p{N}])"
)


def rewritten(text: str, *, cleanup: bool) -> Rewriting:
    """The whole text as it is sent, and where it came from."""
    rewriting = Rewriting(text)
    if cleanup:
        clean(rewriting)
    rewriting.replace(_BREAK, lambda match: _pause(match.string, *match.span()))
    rewriting.replace(_SPACE, "，")
    rewriting.replace(_SURPLUS, "")
    if _WORDS.search(rewriting.text) is None:  # better something that is no speech than nothing
        return Rewriting(text)
    return rewriting


def model_text(text: str, start: int, end: int, *, cleanup: bool) -> str:
    """What of ``text[start:end]`` goes to the model; the rest of the text shows what it is."""
    piece = rewritten(text, cleanup=cleanup).between(start, end).strip()
    return _without_leading_closers(piece) or text[start:end]


def model_text_before(text: str, limit: int | None) -> str:
    """What of a segment's text goes to the model for a task from before there were these rules."""
    if limit is None or len(text) <= limit:
        return text
    first = next((index for index, char in enumerate(text) if char.isalnum()), 0)
    return text[first : first + limit]


def _pause(text: str, start: int, end: int) -> str:
    """What is sent for the line break ``text[start:end]``."""
    before = start
    while before > 0 and _CLOSER.match(text[before - 1]):
        before -= 1
    last, following = text[before - 1 : before], text[end : end + 1]
    if not last or not following:
        return ""
    wide = any(map(_WIDE.match, (last, following)))
    if _MARK.match(last):
        return "" if wide else " "
    if wide:
        return "。"
    # A line that goes on in small letters was only wrapped.
    return " " if following.islower() else ". "


def _without_leading_closers(piece: str) -> str:
    kept: list[str] = []
    at = 0
    while at < len(piece) and (mark := _BEGINNING.match(piece, at)):
        if not mark["dropped"]:
            kept.append(mark[0])
        at = mark.end()
    return "".join(kept) + piece[at:] if at < len(piece) else piece
