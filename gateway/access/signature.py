"""Whether a webhook is from Replicate, and from now (the scheme is Standard Webhooks)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from gateway.errors import BadSignature

AGE_SECONDS = 300  # older ones, or ones from the future, may be repeated by somebody else
SIGNATURES = 10  # of one webhook: a secret that is being changed makes two
SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


def check_time(headers: Mapping[str, str], now: float) -> None:
    """Return if the webhook is from ``now``, in seconds since 1970: this takes no secret.

    Raises:
        BadSignature: its id or its timestamp is missing, or it is not from now.
    """
    if not headers.get("webhook-id"):
        raise BadSignature("webhook-id: is missing")
    timestamp = headers.get("webhook-timestamp", "")
    if not SECONDS.fullmatch(timestamp):
        raise BadSignature("webhook-timestamp: must be in seconds since 1970")
    if abs(now - int(timestamp)) > AGE_SECONDS:
        raise BadSignature(f"webhook-timestamp: is more than {AGE_SECONDS} s away from now")


def check_signature(headers: Mapping[str, str], body: bytes, key: bytes) -> None:
    """Return if one of the signatures is made of this body with this key.

    Raises:
        BadSignature: none is.
    """
    signatures = headers.get("webhook-signature", "").split()[:SIGNATURES]
    signed = {
        "webhook-id": headers["webhook-id"],
        "webhook-timestamp": headers["webhook-timestamp"],
        "webhook-signature": " ".join(signatures),
    }
    try:
        Webhook(key).verify(body, signed, json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        # A ValueError: no UTF-8, no base64, or no comma between version and signature.
        raise BadSignature(
            "webhook-signature: none is made of this body with our secret"
        ) from error
