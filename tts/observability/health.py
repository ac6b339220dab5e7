"""Whether the parts that a process needs answer, in the words of ``GET /health``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tts.observability.repeated import Repeated
from tts.ports.errors import Unavailable
from tts.wire import Health, Healthy, Service, Unhealthy

logger = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
NOT_READY = "not ready; the log of this process says why"

_said = Repeated()

Probe = Callable[[], Awaitable[None]]
"""Returns while a needed part answers; raises :class:`tts.ports.errors.Unavailable` otherwise."""


Notes = Callable[[], Sequence[str]]
"""What an operator should mend, or know, although everything works."""


Whole = Callable[[], Awaitable[Service]]
"""How the whole service is; raises Unavailable while nobody can say."""


async def examine(
    probes: Mapping[str, Probe], notes: Notes = tuple, whole: Whole | None = None
) -> tuple[int, Healthy | Unhealthy]:
    """Ask all parts at once; 200 and ``ok`` for each, or 503 and which are not ready.

    With ``whole`` the service has to be well, too, as far as others tell of it. Anybody may ask, so
    why a part is not ready is only in the log, unless it can be said without host, port and path.
    """
    answers = await asyncio.gather(*(ask(name, probe) for name, probe in probes.items()))
    parts = dict(zip(probes, answers, strict=True))
    down = [f"{name}: {why}" for name, why in parts.items() if why != "ok"]
    health: Health = {"status": "ok", "parts": parts}
    if whole is not None:
        try:
            health["service"] = await whole()
            down += [trouble["message"] for trouble in health["service"]["troubles"]]
        except Unavailable:
            down.append("service: unknown, as the store does not answer")
    if noted := notes():
        health["notes"] = list(noted)
    if not down:
        return 200, {"success": True, "data": health}
    health["status"] = "unhealthy"
    return 503, {"success": False, "error": "; ".join(down), "code": "unhealthy", "data": health}


async def ask(name: str, probe: Probe) -> str:
    """``ok``, or what is wrong, as anybody may read it."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await probe()
    except Unavailable as error:
        if _said.is_news(f"{name}: {error}"):  # anybody may ask, and must not fill the log
            logger.warning("Not ready: %s: %s", name, error)
        return error.public or NOT_READY
    except TimeoutError:
        return f"no answer within {PROBE_SECONDS:g} s"
    return "ok"
