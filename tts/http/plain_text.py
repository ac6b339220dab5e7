"""Whether a file of text is one that people wrote, or what a host says in its place."""

from __future__ import annotations

import re

import orjson

_TEXT_TYPES = {"", "text/plain", "text/markdown", "application/octet-stream", "binary/octet-stream"}
# The model's own marks may begin a transcript: <|zh|>, <laughter>, <strong>, [breath].
_PAGE = re.compile(r"<(?:[!?]|(?!(?:laughter|strong)\b)[a-z][\w:.-]*[\s/>])", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


def read_text(body: bytes, content_type: str) -> str:
    """The text, without a byte order mark and blanks around it.

    Raises:
        ValueError: it is none, and why.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _TEXT_TYPES and not kind.startswith("audio/"):
        raise ValueError("a document of another type")
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not text:
        raise ValueError("empty")
    if _PAGE.match(text):
        raise ValueError("a page of HTML or XML")
    if text[0] in "{[" and _is_json(text):
        raise ValueError("a JSON document")
    if _CONTROL.search(text):
        raise ValueError("not text: it has control characters")
    return text


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return bool(re.match(r'\{\s*"', text))  # cut short, perhaps
    return True
