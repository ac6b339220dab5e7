"""Shared documents of a service that is one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class MemoryDocuments:
    """Implements SharedDocument of :mod:`tts.ports.log`; what it holds ends with the process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._documents: dict[str, bytes] = {}

    async def update(self, name: str, change: Callable[[bytes, float], tuple[bytes, T]]) -> T:
        """See :class:`tts.ports.log.SharedDocument`."""
        document, result = change(self._documents.get(name, b""), self._clock())
        self._documents[name] = document
        return result
