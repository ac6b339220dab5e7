"""How the secret of Standard Webhooks is written."""

from __future__ import annotations

import binascii

PREFIX = "whsec_"


def signing_key(text: str) -> bytes:
    """The bytes of a secret that reads ``whsec_`` and then base64.

    Raises:
        ValueError: it does not; the message does not quote it.
    """
    try:
        key = binascii.a2b_base64(text.removeprefix(PREFIX), strict_mode=True)
    except ValueError:
        key = b""
    if not key or not text.startswith(PREFIX):
        raise ValueError(f"must be {PREFIX} and then base64")
    return key
