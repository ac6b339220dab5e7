"""Where the next page of a list starts: opaque to clients, a time and a task to us."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from uuid import UUID

import orjson

from tts.ports.errors import BadCursor


def encode(at: str, task_id: str) -> str:
    """The cursor behind the row of that time and task."""
    return base64.urlsafe_b64encode(orjson.dumps([at, task_id])).decode().rstrip("=")


def decode(cursor: str) -> tuple[str, str]:
    """The time and the task of the row that the cursor is behind.

    Raises:
        BadCursor: it is none of ours.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        at, task_id = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        datetime.fromisoformat(at)
        return at, str(UUID(task_id))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise BadCursor(cursor) from error
