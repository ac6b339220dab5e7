"""Signals inside one process: the embedded deployment's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

BUFFERED = 10_000  # words that a slow listener may be behind; older ones are lost on him


class LocalSignals:
    """Implements Signals of :mod:`tts.ports.log` for those who share this object."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str]] = set()

    async def send(self, word: str) -> None:
        """See :class:`tts.ports.log.Signals`."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(word)

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """See :class:`tts.ports.log.Signals`."""
        queue: asyncio.Queue[str] = asyncio.Queue(BUFFERED)
        self._listeners.add(queue)
        try:
            yield _all(queue)
        finally:
            self._listeners.discard(queue)


async def _all(queue: asyncio.Queue[str]) -> AsyncIterator[str]:
    while True:
        yield await queue.get()
