"""Callbacks are signed by Standard Webhooks, as receivers' libraries check them.

See https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook


def signed_headers(secret: str, message_id: str, body: bytes, now: float) -> Mapping[str, str]:
    """The headers that prove who sent the body, and when; ``now`` in seconds since 1970."""
    at = datetime.fromtimestamp(int(now), UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }
