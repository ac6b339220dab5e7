"""What is looked at again and again, so that what is shown of it moves by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Watch:
    """``look`` shows what there is, and ``forget`` takes it away when that cannot be known."""

    look: Callable[[], Awaitable[object]]
    forget: Callable[[], None]

    async def keep(self) -> None:
        """Look until canceled."""
        while True:
            try:
                await self.look()
            except Unavailable:
                self.forget()
            except Exception:
                logger.exception("What is shown of the service cannot be read")
                self.forget()
            await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def kept(watches: Sequence[Watch]) -> AsyncIterator[None]:
    """Keep them all while the context is open."""
    tasks = [asyncio.create_task(watch.keep()) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
