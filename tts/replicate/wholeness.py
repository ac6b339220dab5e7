"""Whether what was downloaded can be the whole audio, judged by its first bytes and its length."""

from __future__ import annotations

import codecs

from tts.sound.riff import UNKNOWN_BYTES, is_wav, samples_of


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
    if is_wav(data) and _is_cut(data):
        return "it is shorter than its header says"
    return None


def _is_cut(wav: bytes) -> bool:
    samples = samples_of(wav)
    if samples is None:
        return True  # before its samples
    start, size = samples
    return size < UNKNOWN_BYTES and start + size > len(wav)
