"""Whether what was downloaded can be the whole audio, judged by its first bytes and its length."""

from __future__ import annotations

import codecs

# What a writer puts for a length that it does not know yet, or more.
UNKNOWN_BYTES = 0x7FFF0000
_HEADER = 12  # "RIFF", a length, "WAVE"


def flaw(data: bytes) -> str | None:
    """What is wrong with it that another download may mend, or None.

    A page of HTML, XML or JSON is an answer about the audio; a WAV that is shorter than its header
    says was cut on its way. Lengths that a streaming writer left open are no promise.
    """
    start = data[:1024].removeprefix(codecs.BOM_UTF8).lstrip()
    if not start:
        return "it is empty"
    if start.startswith((b"<", b"{", b"[")):
        return "it is a page, not audio"
    if data[:4] == b"RIFF" and data[8:_HEADER] == b"WAVE" and _is_cut(data):
        return "it is shorter than its header says"
    return None


def _is_cut(wav: bytes) -> bool:
    at = _HEADER
    while at + 8 <= len(wav):
        name, size = wav[at : at + 4], int.from_bytes(wav[at + 4 : at + 8], "little")
        if name == b"data":
            return size < UNKNOWN_BYTES and at + 8 + size > len(wav)
        at += 8 + size + size % 2
    return True  # before its samples
