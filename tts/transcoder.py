"""Event state as plain JSON, so that SQL and the streams read it without this code."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from eventsourcing.persistence import Transcoder


class OrjsonTranscoder(Transcoder):
    """Encodes with orjson; datetimes are ISO 8601 strings with their offset.

    On the way back a key named ``timestamp`` or ending in ``_at`` is a datetime: the convention
    that the events in :mod:`tts.domain` keep. A plain ``eventsourcing`` application reads the log
    with ``TRANSCODER_TOPIC=tts.transcoder:OrjsonTranscoder``.
    """

    def encode(self, obj: Any) -> bytes:
        """JSON, compact, in UTF-8."""
        return orjson.dumps(obj)

    def decode(self, data: bytes) -> Any:
        """The state with its datetimes."""
        state = orjson.loads(data)
        for key, value in state.items():
            if (key == "timestamp" or key.endswith("_at")) and value is not None:
                state[key] = datetime.fromisoformat(value)
        return state
