"""Shared documents and signals of a service that is one process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")

BUFFERED = 10_000  # words that a slow listener may be behind; older ones are lost on him


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
        self._listeners: set[asyncio.Queue[str]] = set()

    async def send(self, word: str) -> None:
        """See :class:`tts.ports.coordination.Signals`."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(word)

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """See :class:`tts.ports.coordination.Signals`."""
        queue: asyncio.Queue[str] = asyncio.Queue(BUFFERED)
        self._listeners.add(queue)
        try:
            yield _all(queue)
        finally:
            self._listeners.discard(queue)


async def _all(queue: asyncio.Queue[str]) -> AsyncIterator[str]:
    while True:
        yield await queue.get()
