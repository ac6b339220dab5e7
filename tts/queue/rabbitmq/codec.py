"""A message as the queue carries it: a small JSON body, and headers for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq.transport import UNREADABLE

CONTENT_TYPE = "application/json"
LARGEST = 2**63 - 1  # of a position in the log


def encode(message: Message) -> bytes:
    """The body: ``taskId``, ``attempt``, ``position``."""
    return orjson.dumps(
        {
            "taskId": str(message.task_id),
            "attempt": message.attempt,
            "position": message.position,
        }
    )


def decode(body: bytes, headers: Mapping[str, Any], destination: Destination) -> Message:
    """The message in ``body``, without the headers that the broker added.

    ``x-death`` above all must not be published again: the broker would see a cycle and drop the
    message.

    Raises:
        ValueError: somebody else's message; it quotes nothing of the body.
    """
    if UNREADABLE in headers:
        raise ValueError(f"its properties cannot be read: {headers[UNREADABLE]}")
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"its body of {len(body)} bytes is no JSON") from error
    if not isinstance(fields, dict):
        raise ValueError("its body is no JSON object")  # noqa: TRY004 -- as any other wrong body
    return Message(
        destination,
        task_id=_task_id(fields.get("taskId")),
        attempt=_number("attempt", fields.get("attempt")),
        position=_number("position", fields.get("position")),
        headers={name: value for name, value in headers.items() if not name.startswith("x-")},
    )


def _task_id(value: object) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("its body has no taskId that is a UUID") from None


def _number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise ValueError(f"its body has no {name} that is a whole number")
    return value


def message_id(message: Message) -> str:
    """The same for every publication of the same order, so that duplicates show."""
    return f"{message.task_id}:{message.position}"
