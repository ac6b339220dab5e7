"""Metrics of the whole service, as a gateway reads them on the roster."""

from __future__ import annotations

from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import GATEWAY
from tts.observability.overview import overview
from tts.observability.remedies import REMEDIES
from tts.ports.roster import Roster

ALIVE = Known(
    "tts_parts_alive",
    "Processes of each part that tell of themselves; the same at every gateway.",
    ["kind"],
    registry=GATEWAY,
)
TROUBLES = Known(
    "tts_trouble",
    "1 while something is missing or away, as /system says; the same at every gateway.",
    ["code", "subject"],
    registry=GATEWAY,
)


async def look_at_roster(roster: Roster) -> None:
    """Show what it says now.

    Raises:
        Unavailable: it cannot be read.
    """
    seen = overview(await roster.read())
    ALIVE.replace({part: float(count) for part, count in seen.service["parts"].items()})
    told = {(each["code"], each["subject"]) for each in seen.troubles}
    for code, subject in {*REMEDIES, *told}:
        TROUBLES.set(float((code, subject) in told), code, subject)


def forget_roster() -> None:
    """Nobody knows."""
    ALIVE.forget()
    TROUBLES.forget()
