"""The messages of ``/ws`` as frames. Pure: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from websockets.frames import Frame, Opcode

from tts import wire
from tts.ports.log import Recorded
from tts.wire import RequestId

PING = Frame(Opcode.PING, b"").serialize(mask=False)


def task_update(event: Recorded, audio_url: Callable[[str], str], template_id: str | None) -> bytes:
    """One event of the log; its data is the same as in a server-sent event."""
    update = wire.task_update(event, audio_url, template_id)
    message: wire.TaskUpdateMessage = {"type": "task_update", "data": update}
    return _frame(message)


def connected(client_id: str, position: int, heartbeat_ms: int) -> bytes:
    """The first message; nothing is subscribed yet."""
    data = wire.connected(client_id, position, heartbeat_ms)
    message: wire.ConnectedMessage = {"type": "connected", "data": data}
    return _frame(message)


def heartbeat(position: int) -> bytes:
    """A sign of life, and a ping that has to be answered before the next one.

    What is subscribed has been sent up to ``position``.
    """
    message: wire.HeartbeatMessage = {"type": "heartbeat", "data": wire.heartbeat(position)}
    return _frame(message) + PING


def reset(request_id: RequestId, reason: wire.ResetReason, requested: str, position: int) -> bytes:
    """The subscription cannot start where the client asked; it goes on after ``position``."""
    data = wire.reset(reason, requested, position)
    message: wire.ResetMessage = {"type": "reset", "id": request_id, "data": data}
    return _frame(message)


def ack(request_id: RequestId, data: wire.AckData) -> bytes:
    """The client's message was carried out."""
    message: wire.AckMessage = {"type": "ack", "id": request_id, "data": data}
    return _frame(message)


def pong(request_id: RequestId) -> bytes:
    """The answer to ``ping``."""
    message: wire.PongMessage = {"type": "pong", "id": request_id}
    return _frame(message)


def error(request_id: RequestId, refusal: wire.Refusal) -> bytes:
    """The client's message was refused; ``refusal`` is what HTTP would answer."""
    message: wire.ErrorMessage = {
        "type": "error",
        "id": request_id,
        "error": refusal["error"],
        "code": refusal["code"],
    }
    if "taskId" in refusal:
        message["taskId"] = refusal["taskId"]
    return _frame(message)


def _frame(message: object) -> bytes:
    return Frame(Opcode.TEXT, orjson.dumps(message)).serialize(mask=False)
