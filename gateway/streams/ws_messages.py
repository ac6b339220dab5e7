"""The messages of ``/ws`` as frames. Pure: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from websockets.frames import Frame, Opcode

from tts.ports.log import Recorded
from tts.wire import task_update as update_of

PING = Frame(Opcode.PING, b"").serialize(mask=False)

RequestId = str | int | None
"""What a client gave its message, to find the answer by."""


def task_update(event: Recorded, audio_url: Callable[[str], str]) -> bytes:
    """One event of the log; its data is the same as in a server-sent event."""
    return _message("task_update", data=update_of(event, audio_url))


def connected(client_id: str, position: int, heartbeat_ms: int) -> bytes:
    """The first message; nothing is subscribed yet."""
    data = {
        "clientId": client_id,
        "timestamp": _now(),
        "position": position,
        "heartbeatInterval": heartbeat_ms,
    }
    return _message("connected", data=data)


def heartbeat(position: int) -> bytes:
    """A sign of life, and a ping that has to be answered before the next one.

    What is subscribed has been sent up to ``position``.
    """
    return _message("heartbeat", data={"timestamp": _now(), "position": position}) + PING


def reset(request_id: RequestId, reason: str, requested: str, position: int) -> bytes:
    """The subscription cannot start where the client asked; it goes on after ``position``."""
    data = {"reason": reason, "requested": requested, "position": position, "timestamp": _now()}
    return _message("reset", id=request_id, data=data)


def ack(request_id: RequestId, data: Mapping[str, Any]) -> bytes:
    """The client's message was carried out."""
    return _message("ack", id=request_id, data=data)


def pong(request_id: RequestId) -> bytes:
    """The answer to ``ping``."""
    return _message("pong", id=request_id)


def error(request_id: RequestId, body: Mapping[str, object]) -> bytes:
    """The client's message was refused; ``body`` is what HTTP would answer."""
    told = {name: value for name, value in body.items() if name != "success"}
    return _message("error", id=request_id, **told)


def _message(kind: str, **fields: object) -> bytes:
    data = orjson.dumps({"type": kind, **fields})
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def _now() -> str:
    return datetime.now(UTC).isoformat()
