"""Data URIs as models write them: in base64 of either alphabet, padded or not, or in neither."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from tts.http.errors import TooLarge

SCHEME = "data:"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class Broken(Exception):
    """It cannot be decoded."""


def is_one(address: str) -> bool:
    """Whether the address is the data itself."""
    return address[: len(SCHEME)].lower() == SCHEME


def decoded(uri: str, limit: int) -> bytes:
    """The data, of at most ``limit`` bytes.

    Raises:
        Broken: it cannot be decoded.
        TooLarge: it is longer.
    """
    kind, comma, content = uri.partition(",")
    if not comma:
        raise Broken("it is a data URI without data")
    if len(content) > 4 * limit:  # neither encoding is longer than that
        raise TooLarge(f"more than {limit} bytes")
    data = unquote_to_bytes(content)
    if kind.lower().endswith(";base64"):
        plain = b"".join(data.split()).translate(_URL_SAFE).rstrip(b"=")
        try:
            data = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
        except binascii.Error as error:
            raise Broken("it is a broken data URI") from error
    if len(data) > limit:
        raise TooLarge(f"more than {limit} bytes")
    return data
