"""How loops wait: outages are waited out, with one warning and growing pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def first_of(*works: Awaitable[None]) -> None:
    """Run all, and when the first one ends cancel the others; its failure is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
