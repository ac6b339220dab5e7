"""Whether a webhook is from Replicate, and from now (the scheme is Standard Webhooks)."""

from __future__ import annotations

import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import BadSignature

AGE_SECONDS = 300  # older ones, or ones from the future, may be repeated by somebody else
SIGNATURES = 10  # of one webhook: a secret that is being changed makes two
SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signed:
    """The headers of a webhook; its signature is yet to be checked."""

    message_id: str
    timestamp: str
    signatures: tuple[bytes, ...]

    def check(self, key: bytes, body: bytes) -> None:
        """Return if one of the signatures is made of this body with this key.

        Raises:
            BadSignature: none is.
        """
        said = f"{self.message_id}.{self.timestamp}.".encode() + body
        expected = hmac.digest(key, said, "sha256")
        # Every one is compared, each in constant time.
        if not sum(hmac.compare_digest(expected, shown) for shown in self.signatures):
            raise BadSignature("webhook-signature: none is made of this body with our secret")


def signed(headers: Mapping[str, str], now: float) -> Signed:
    """What the headers say, which needs no secret; ``now`` in seconds since 1970.

    Raises:
        BadSignature: something is missing, or it is not from now.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id:
        raise BadSignature("webhook-id: is missing")
    if not SECONDS.fullmatch(timestamp):
        raise BadSignature("webhook-timestamp: must be in seconds since 1970")
    if abs(now - int(timestamp)) > AGE_SECONDS:
        raise BadSignature(f"webhook-timestamp: is more than {AGE_SECONDS} s away from now")
    shown = headers.get("webhook-signature", "").split()[:SIGNATURES]
    signatures = [_decoded(text[3:]) for text in shown if text.startswith("v1,")]
    return Signed(message_id, timestamp, tuple(filter(None, signatures)))


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""
