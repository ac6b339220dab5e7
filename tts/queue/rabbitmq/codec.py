"""A message as the queue carries it: a small JSON body, and headers for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from tts.ports.queue import Destination, Message

CONTENT_TYPE = "application/json"


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
        ValueError: somebody else's message.
    """
    try:
        fields = orjson.loads(body)
        return Message(
            destination,
            task_id=UUID(fields["taskId"]),
            attempt=int(fields["attempt"]),
            position=int(fields["position"]),
            headers={name: value for name, value in headers.items() if not name.startswith("x-")},
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a message of ours: {error!r}") from error


def message_id(message: Message) -> str:
    """The same for every publication of the same order, so that duplicates show."""
    return f"{message.task_id}:{message.position}"
