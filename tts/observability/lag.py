"""How far a follower is behind the log."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import orjson

from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log
from tts.wire import Lag


async def lag(log: Log, position: int, now: datetime, topics: Collection[str] = ()) -> Lag | None:
    """Of one who has done everything up to ``position``; ``topics`` are all that it follows.

    The age of the next event that it has to do tells more than what it says of itself. How many
    there are is only known of one who follows all. None: the log cannot be read.
    """
    try:
        end = await log.position()
        next_one = await log.read(position, 1, topics) if end > position else []
    except (Unavailable, WentBack):  # or it is about to start over
        return None
    events = None if topics else max(log.epochs.span(position, end), 0)
    if not next_one:
        return {"events": events and 0, "seconds": 0.0}
    at = datetime.fromisoformat(orjson.loads(next_one[0].state)["timestamp"])
    return {"events": events, "seconds": round(max((now - at).total_seconds(), 0.0), 3)}
