"""Whether the parts that a process needs answer, in the words of ``GET /health``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tts.ports.errors import Unavailable
from tts.wire import Health, Healthy, Unhealthy

PROBE_SECONDS = 2.0

Probe = Callable[[], Awaitable[None]]
"""Returns while a needed part answers; raises :class:`tts.ports.errors.Unavailable` otherwise."""


Notes = Callable[[], Sequence[str]]
"""What an operator should mend although everything works."""


async def examine(
    probes: Mapping[str, Probe], notes: Notes = tuple
) -> tuple[int, Healthy | Unhealthy]:
    """Ask all parts at once; 200 and ``ok`` for each, or 503 and what is wrong with some."""
    answers = await asyncio.gather(*map(_ask, probes.values()))
    parts = dict(zip(probes, answers, strict=True))
    down = [f"{name}: {why}" for name, why in parts.items() if why != "ok"]
    health: Health = {"status": "unhealthy" if down else "ok", "parts": parts}
    if noted := notes():
        health["notes"] = list(noted)
    if not down:
        return 200, {"success": True, "data": health}
    return 503, {"success": False, "error": "; ".join(down), "code": "unhealthy", "data": health}


async def _ask(probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await probe()
    except Unavailable as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {PROBE_SECONDS:g} s"
    return "ok"
