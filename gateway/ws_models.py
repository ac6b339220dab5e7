"""What clients send over a WebSocket, as models; orders are those of HTTP."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.models import Body


class Message(Body):
    """What every message has; ``id`` comes back in the answer."""

    type: str
    id: Annotated[str, Field(max_length=128)] | int | None = None


class Authenticate(Body):
    """``authenticate``: a key, or a token for streams in its place."""

    key: Annotated[str, Field(max_length=500)] | None = None
    token: Annotated[str, Field(max_length=500)] | None = None


class Subscribe(Body):
    """``subscribe``: the tasks, or everything of one's own, from a position on."""

    task_ids: list[str] | None = Field(default=None, alias="taskIds")
    last_event_id: str | int | None = Field(default=None, alias="lastEventId")
    begin: str | int | None = Field(default=None, alias="from")


class Unsubscribe(Body):
    """``unsubscribe``: the tasks, or everything."""

    task_ids: list[str] | None = Field(default=None, alias="taskIds")


class Key(Body):
    """The part of ``generate`` that is a header over HTTP."""

    idempotency_key: str | None = Field(default=None, alias="idempotencyKey")
