"""How the process hands memory back that it needs no more."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BYTES = 128 * 1024


def return_large_blocks() -> None:
    """Have audio's memory go back to the system as soon as it is free.

    glibc begins with this threshold too, but raises it at the first block that is freed: from then
    on audio lies among small things that stay, and a processor under load grows by its half.
    Elsewhere, as with musl, there is nothing to set.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
