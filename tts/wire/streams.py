"""What ``/events`` and ``/ws`` send besides the updates of tasks, and the messages of ``/ws``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.commands import Accepted, CancelAccepted, RetryAccepted
from tts.wire.fields import Position, Time
from tts.wire.updates import TaskUpdate

ResetReason = Literal["unknown", "future", "too_old", "archived"]

RequestId = str | int | None
"""What a client gave its message, to find the answer by."""


class Connected(TypedDict):
    """The stream is open and starts after ``position``."""

    clientId: str
    timestamp: Time
    position: Position
    heartbeatInterval: Annotated[
        int,
        Field(ge=1, description="Milliseconds. A connection silent for 2.5 of them is dead."),
    ]


class Heartbeat(TypedDict):
    """A sign of life: everything up to ``position`` was sent."""

    timestamp: Time
    position: Position


class Reset(TypedDict):
    """The stream cannot go on where the client asked; it goes on after ``position``."""

    reason: ResetReason
    requested: str
    position: Position
    timestamp: Time


def connected(client_id: str, position: int, heartbeat_ms: int) -> Connected:
    """The data of ``connected``; it says how often to expect a heartbeat."""
    return {
        "clientId": client_id,
        "timestamp": _now(),
        "position": position,
        "heartbeatInterval": heartbeat_ms,
    }


def heartbeat(position: int) -> Heartbeat:
    """The data of ``heartbeat``."""
    return {"timestamp": _now(), "position": position}


def reset(reason: ResetReason, requested: str, position: int) -> Reset:
    """The data of ``reset``; ``requested`` is the cursor that cannot be served."""
    return {"reason": reason, "requested": requested, "position": position, "timestamp": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat()


class ConnectedMessage(TypedDict):
    """The first message; nothing is subscribed yet."""

    type: Literal["connected"]
    data: Connected


class TaskUpdateMessage(TypedDict):
    """One event of a task."""

    type: Literal["task_update"]
    data: TaskUpdate


class HeartbeatMessage(TypedDict):
    """A sign of life, sent with a ping of the protocol."""

    type: Literal["heartbeat"]
    data: Heartbeat


class ResetMessage(TypedDict):
    """The subscription cannot start where the client asked."""

    type: Literal["reset"]
    id: RequestId
    data: Reset


class Subscribed(TypedDict):
    """The updates of the tasks, or of all for null, follow from ``position`` on."""

    taskIds: list[str] | None
    position: Position


class Unsubscribed(TypedDict):
    """No more updates of the tasks follow, or none at all for null."""

    taskIds: list[str] | None


class Authenticated(TypedDict):
    """The credential is good; the connection is closed when it ends, if it does."""

    expiresAt: Time | None


AckData = Authenticated | Subscribed | Unsubscribed | Accepted | RetryAccepted | CancelAccepted


class AckMessage(TypedDict):
    """The client's message was carried out."""

    type: Literal["ack"]
    id: RequestId
    data: AckData


class ErrorMessage(TypedDict):
    """The client's message was refused; what HTTP would answer."""

    type: Literal["error"]
    id: RequestId
    error: str
    code: str
    taskId: NotRequired[str]


class PongMessage(TypedDict):
    """The answer to ``ping``."""

    type: Literal["pong"]
    id: RequestId
