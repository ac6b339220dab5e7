"""What is no speech in a text, and what is sent in its place.

Written for the eye, and sent so (``SPEECH_CLEANUP``):

- Markdown: the marks of headings, lists, quotes, code, emphasis and strike-through are dropped,
  links keep their words, pictures their description; a table's cells are joined by commas, its
  ruler is dropped. HTML tags are dropped, character references become their characters.
- A URL becomes its host, an address its words: ``https://www.example.com/a?b`` is "example dot
  com", beside Chinese "example点com".
- Emoji and other pictures, invisible and control characters are dropped.
- Full-width digits and letters, and the full-width point, comma, colon and percent sign of a number
  become plain ones, because the model's normaliser reads only those as a number. A range mark
  between numbers becomes 至 in Chinese, where a hyphen would be read as a minus or not at all.

What the model itself understands is left: ``<strong>``, ``<laughter>``, ``[breath]``, ``<|…|>``.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

import regex

from tts.text.rewriting import Rewriting

# The tokenizer of CosyVoice 2 has a token for each of these.
MODEL_TAG = r"</?(?:strong|laughter)>|<\|[^<>|\n]{1,40}\|>"

_FULL_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B))}
_FULL_WIDTH |= {code: code - 0xFEE0 for code in range(0xFF41, 0xFF5B)}
_NUMBER_MARK = str.maketrans("．，：／－％＋", ".,:/-%+")
_HOST = r"(?:[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?\.){1,8}[A-Za-z]{2,24}"

_CHINESE = regex.compile(r"[\u4e00-\u9fff]")
_FENCE = regex.compile(r"(?m)^[ \t]*(?:```|~~~)[^\n`]*$")
_RULER = regex.compile(r"(?m)^[ \t]*(?:(?:[-*_=][ \t]*){3,}|(?=[^\n]*\|)[ \t|:-]*-[ \t|:-]*)$")
_HEAD = regex.compile(r"(?m)^[ \t]*(?:>[ \t]?|#{1,6}[ \t]+|[-*+•·▪●][ \t]+(?:\[[ xX]\][ \t]+)?)+")
_ROW = regex.compile(r"(?m)^[ \t]*\|[ \t]*+([^\n]*)$")
_CELL = regex.compile(r"[ \t|]*\|[ \t|]*")
_LINK = regex.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,1000}(?:[ \t]+\"[^\"\n]{0,200}\")?\)")
_EMPHASIS = regex.compile(r"(?<!\d)(?:\*{2,3}|_{2,3}|~~)|(?:\*{2,3}|_{2,3}|~~)(?!\d)|`+")
_STARS = regex.compile(r"(?<![0-9A-Za-z*])\*(?=[^\s*])([^*\n]{1,200})(?<=[^\s*])\*(?![0-9A-Za-z*])")
_TAG = regex.compile(
    rf"(?:{MODEL_TAG})(*SKIP)(*FAIL)|</?[A-Za-z][^<>\n]{{0,200}}>|<!--[^<>]{{0,500}}-->"
)
_REFERENCE = regex.compile(r"&(?:[A-Za-z]{2,10}|#\d{2,6}|#[xX][0-9A-Fa-f]{2,5});")
_URL = regex.compile(r"(?i)(?:(?:https?|ftp)://|\bwww\.)(?:www\.)?([0-9a-z.-]*)[!-~]*[0-9a-z/]")
_ADDRESS = regex.compile(rf"([0-9A-Za-z][0-9A-Za-z._+-]{{0,63}})@({_HOST})")
_PICTURE = regex.compile(
    r"(?:[\p{Emoji_Presentation}\p{Extended_Pictographic}--[©®™]]|[\U0001f1e6-\U0001f1ff\U0001f3fb-"
    r"\U0001f3ff\ufe0e\ufe0f\u20e3])(?:\u200d|[\ufe0e\ufe0f\u20e3])*",
    regex.VERSION1,
)
_INVISIBLE = regex.compile(r"[[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}]--[\n\t]]", regex.VERSION1)
_WIDE = regex.compile(r"[０-９Ａ-Ｚａ-ｚ]+")
_WIDE_MARK = regex.compile(
    r"(?<=\d)[．：／－](?=\d)|(?<=\d)，(?=\d{3}(?!\d))|(?<=\d)％|[＋－](?=\d)"
)
_RANGE = regex.compile(r"(?<=[\d%％℃])(?:[~～–—]|——)(?=\d)|(?<=[%％℃])-(?=\d)")


def clean(rewriting: Rewriting) -> None:
    """Leave only what is for the ear."""
    chinese = _CHINESE.search(rewriting.text) is not None
    dot, at, comma = ("点", "at", "，") if chinese else (" dot ", " at ", ", ")

    def host(name: str) -> str:
        return name.strip(".-").replace(".", dot)

    rewriting.replace(_INVISIBLE, lambda match: "" if match[0] != "\r" else "\n")
    rewriting.replace(_FENCE, "")
    rewriting.replace(_RULER, "")
    rewriting.replace(_HEAD, "")
    rewriting.edit(_cells(rewriting.text, comma))
    rewriting.keep(_LINK)
    rewriting.replace(_TAG, "")
    rewriting.replace(_REFERENCE, lambda match: html.unescape(match[0]).replace("\xa0", " "))
    rewriting.replace(_URL, lambda match: host(match[1]))
    rewriting.replace(_ADDRESS, lambda match: f"{host(match[1])} {at.strip()} {host(match[2])}")
    rewriting.replace(_EMPHASIS, "")
    rewriting.keep(_STARS)
    rewriting.replace(_PICTURE, "")
    rewriting.replace(_WIDE, lambda match: match[0].translate(_FULL_WIDTH))
    rewriting.replace(_WIDE_MARK, lambda match: match[0].translate(_NUMBER_MARK))
    if chinese:
        rewriting.replace(_RANGE, "至")


def _cells(text: str, comma: str) -> Iterator[tuple[int, int, str]]:
    for row in _ROW.finditer(text):
        yield row.start(), row.start(1), ""
        for cell in _CELL.finditer(text, row.start(1), row.end(1)):
            yield *cell.span(), comma if cell.end() < row.end(1) else ""
