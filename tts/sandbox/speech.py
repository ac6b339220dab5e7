"""What the sandbox has spoken, and the thread that speaks."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tts.sandbox import front_end

CACHE_BYTES = 64 * 1024 * 1024


class Speech:
    """Speaks in one thread of its own; the results are cached, in a bounded number of bytes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandbox-speech")
        self._cache: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._cached_bytes = 0

    async def output(self, text: str, kind: str) -> bytes:
        """What the model makes of ``text``: 24 kHz mono WAV in 32-bit floats.

        ``kind`` is ``voice``, or ``tone`` for a beep whose pitch depends on the text, about as long
        as a voice would take.
        """
        spoken = front_end.heard(text)
        return await self._cached((kind, spoken), partial(_wav, kind, spoken))

    async def mp3(self, text: str) -> bytes:
        """The whole text spoken, as MP3."""
        return await self._cached(("mp3", text), partial(_mp3, text))

    def close(self) -> None:
        """Let the thread finish what it is at, and drop the rest."""
        self._thread.shutdown(cancel_futures=True)

    async def _cached(self, key: tuple[str, str], make: Callable[[], bytes]) -> bytes:
        data = self._cache.get(key)
        if data is None:
            data = await asyncio.get_running_loop().run_in_executor(self._thread, make)
            if key not in self._cache:
                self._cached_bytes += len(data)
            self._cache[key] = data
            while self._cached_bytes > CACHE_BYTES:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        else:
            self._cache.move_to_end(key)
        return data


def _wav(kind: str, text: str) -> bytes:
    # Here, in the thread: it brings numpy along, for which nobody waits at the start.
    from tts.sandbox import voice  # noqa: PLC0415

    return voice.wav(kind, text)


def _mp3(text: str) -> bytes:
    from tts.sandbox import voice  # noqa: PLC0415 -- as above

    return voice.mp3(text)
