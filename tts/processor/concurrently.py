"""Several steps at once, none of which is canceled for another's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from tts.domain.errors import LeaseLost


async def concurrently(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at once, and raise the first failure only when each one has ended."""
    results = await asyncio.gather(*works, return_exceptions=True)
    failures = [result for result in results if result is not None]
    if failures:
        # A lost lease says more than what follows from it.
        raise next((failure for failure in failures if isinstance(failure, LeaseLost)), failures[0])
