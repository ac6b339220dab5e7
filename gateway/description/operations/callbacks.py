"""Callbacks: how a client is told that its task is over."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import Answer, Operation
from tts import wire

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/webhooks/secret"): Operation(
        id="getCallbackSecret",
        tag="Speech",
        summary="What your callbacks are signed with",
        description=(
            "The secret of the key's owner. Give it to a library of Standard Webhooks "
            "(standardwebhooks.com), which checks `webhook-signature` of every `taskEnded` that "
            "you receive. It stays the same as long as the log does."
        ),
        answers={200: Answer("The secret", wire.CallbackSecret)},
    ),
}
