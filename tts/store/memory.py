"""Shared documents and signals of a service that is one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class MemoryDocuments:
    """Implements SharedDocument of :mod:`tts.ports.coordination`; it ends with the process."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}

    async def update(self, name: str, change: Callable[[bytes, float], tuple[bytes, T]]) -> T:
        """See :class:`tts.ports.coordination.SharedDocument`."""
        document, result = change(self._documents.get(name, b""), time.time())
        self._documents[name] = document
        return result


class LocalSignals:
    """Implements Signals of :mod:`tts.ports.coordination` for those who share this object."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str], None]] = []

    async def send(self, word: str) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        for hear in self._listeners:
            hear(word)

    async def listen(self, hear: Callable[[str], None], begun: Callable[[], None]) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        self._listeners.append(hear)
        try:
            begun()
            await asyncio.Event().wait()
        finally:
            self._listeners.remove(hear)
