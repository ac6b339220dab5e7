"""Server-sent events as bytes. Pure: one function for each kind of frame."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tts import wire
from tts.ports.log import Recorded

RETRY_MS = 2000


def task_update(event: Recorded, audio_url: Callable[[str], str], template_id: str | None) -> bytes:
    """One event of the log; its ``id`` is the position, from where a client resumes."""
    data = orjson.dumps(wire.task_update(event, audio_url, template_id))
    return b"id: %d\nevent: task_update\ndata: %b\n\n" % (event.position, data)


def connected(client_id: str, cursor: int, heartbeat_ms: int) -> bytes:
    """The first frame. Its ``id`` is where the stream starts.

    So a client that loses the connection before the first update resumes without a gap. It also
    says after which time a client that lost the connection comes back, and how often to expect a
    heartbeat.
    """
    data = wire.connected(client_id, cursor, heartbeat_ms)
    head = b"retry: %d\nid: %d\nevent: connected\n" % (RETRY_MS, cursor)
    return head + b"data: %b\n\n" % orjson.dumps(data)


def reset(reason: wire.ResetReason, requested: str, position: int) -> bytes:
    """The stream cannot go on where the client asked; it goes on after ``position``.

    What happened before has to be fetched from the API.
    """
    data = wire.reset(reason, requested, position)
    return b"id: %d\nevent: reset\ndata: %b\n\n" % (position, orjson.dumps(data))


def heartbeat(position: int) -> bytes:
    """A sign of life, whose ``id`` takes the client's cursor along.

    Else the cursor of one who hears of nothing would fall behind while others are busy, in the end
    beyond the replay limit. Everything up to ``position`` must have been sent before.
    """
    data = orjson.dumps(wire.heartbeat(position))
    return b"id: %d\nevent: heartbeat\ndata: %b\n\n" % (position, data)


def retry(seconds: float) -> bytes:
    """How long a client that is sent away waits before it connects again."""
    return b"retry: %d\n\n" % (seconds * 1000)


def ended(reason: str) -> bytes:
    """The last words to a client whose credential has ended; a comment, for people."""
    return b": %b\nretry: %d\n\n" % (reason.encode(), RETRY_MS)
