"""The chunks of a WAV, and the lengths that a streaming writer leaves open."""

from __future__ import annotations

import re

# What a writer puts for a length that it does not know yet, or more.
UNKNOWN_BYTES = 0x7FFF0000
_HEADER = 12  # "RIFF", a length, "WAVE"
_CHUNK = 8  # a name, a length
_FORMAT = _HEADER + _CHUNK
_PLAIN = {b"\x01\0", b"\x03\0"}  # whole numbers, floats
_NAME = re.compile(rb"[ -~]{4}")


def is_wav(data: bytes) -> bool:
    """Whether it begins as a WAV does."""
    return data[:4] == b"RIFF" and data[8:_HEADER] == b"WAVE"


def is_plain(data: bytes) -> bool:
    """Whether it begins as a WAV of samples as they are: no more comes out than is in it."""
    return (
        is_wav(data)
        and data[_HEADER : _HEADER + 4] == b"fmt "
        and data[_FORMAT : _FORMAT + 2] in _PLAIN
    )


def samples_of(wav: bytes) -> tuple[int, int] | None:
    """Where the samples begin and how many bytes there are, as the header says; None without any.

    A length of 0 is one that was left open, where what follows is no chunk.
    """
    at = _HEADER
    while at + _CHUNK <= len(wav):
        name, size = wav[at : at + 4], _length(wav, at)
        at += _CHUNK
        if name == b"data":
            return at, size if size or _ends_in_chunks(wav, at) else UNKNOWN_BYTES
        at += size + size % 2
    return None


def repaired(data: bytes) -> bytes:
    """The same audio; a WAV that does not say how many samples it has says so now."""
    if not is_wav(data) or (samples := samples_of(data)) is None:
        return data
    start, size = samples
    if size < UNKNOWN_BYTES or len(data) >= UNKNOWN_BYTES:
        return data
    rest = len(data) - start
    lengths = (start - 4, rest), (4, len(data) - _CHUNK)
    whole = bytearray(data)
    for at, length in lengths:
        whole[at : at + 4] = length.to_bytes(4, "little")
    return bytes(whole)


def _length(wav: bytes, at: int) -> int:
    return int.from_bytes(wav[at + 4 : at + _CHUNK], "little")


def _ends_in_chunks(wav: bytes, at: int) -> bool:
    while at + _CHUNK <= len(wav) and _NAME.fullmatch(wav, at, at + 4):
        size = _length(wav, at)
        at += _CHUNK + size + size % 2
    return len(wav) <= at <= len(wav) + 1  # the last one may lack its padding
