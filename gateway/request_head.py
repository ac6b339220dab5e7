"""Heads of requests that two readers may read in two ways (RFC 9112); each is refused.

A proxy before us that reads one otherwise than we do lets an attacker hide a request in another.
Sanic's parser is lax: it takes blanks before a colon, odd numbers, and bare line feeds.
"""

from __future__ import annotations

import re

from sanic.compat import Header
from sanic.exceptions import BadRequest, PayloadTooLarge

FIELDS_MAX = 100
EXTENSIONS_MAX_BYTES = 16_384  # of all chunks of a body together

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_FIELD = _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD = re.compile(rb"(" + _TOKEN + rb") ([!\"$-~]++) HTTP/1\.[01]\r\n(?:" + _FIELD + rb")*+")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)/[!-~]*", re.IGNORECASE)
# What no head may hold; the line feed of a carriage return at its end may still be on its way.
_FORBIDDEN = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DIGITS = re.compile(r"[0-9]{1,18}[ \t]*")
_CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]{1,8}(?:[ \t]*;[\t\x20-\x7e\x80-\xff]{0,200})?\r\n")
_CHUNK_MAX_BYTES = 256


def check_part(part: bytes, start: int = 0) -> None:
    """Return if a head that is not yet complete may become a good one; look from ``start`` on.

    Raises:
        BadRequest
    """
    if _FORBIDDEN.search(part, start):
        raise BadRequest("lines must end in CR LF, and nothing else may be a control character")


def check_head(head: bytes) -> str | None:
    """Return the authority in the target, if there is one; ``head`` has no empty line at its end.

    Raises:
        BadRequest: it does not have the form that RFC 9112 gives it.
        PayloadTooLarge: it has too many fields.
    """
    match = _HEAD.fullmatch(head)
    if not match:
        check_part(head)
        raise BadRequest("the request line or a header field is malformed")
    if head.count(b"\n") > FIELDS_MAX + 1:
        raise PayloadTooLarge(f"the header has more than {FIELDS_MAX} fields")
    method, target = match.groups()
    if method == b"CONNECT":
        raise BadRequest("CONNECT: this is no proxy")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return None
    absolute = _ABSOLUTE.fullmatch(target)
    if not absolute:
        raise BadRequest("the target must begin with /")
    return absolute[1].decode()


def check_framing(headers: Header, version: str) -> None:
    """Return if it is certain where the body ends.

    Raises:
        BadRequest
    """
    length = headers.get("content-length")
    if length is not None and not _DIGITS.fullmatch(length):
        raise BadRequest("Content-Length: must be one number")
    if version == "1.0" and "transfer-encoding" in headers:
        raise BadRequest("Transfer-Encoding: is not for HTTP/1.0")


def host_of(headers: Header, version: str) -> str | None:
    """What ``Host`` says; None in HTTP/1.0, which may do without.

    Raises:
        BadRequest: it is missing, or there are two.
    """
    hosts = headers.getall("host", ())
    if len(hosts) == 1:
        return str(hosts[0]).rstrip(" \t")
    if hosts or version != "1.0":
        raise BadRequest("Host: there must be exactly one")
    return None


def chunk_head(buffer: bytearray) -> bytes | None:
    """The line before a chunk, with the line break before it; None if it is not complete yet.

    Raises:
        BadRequest: it is malformed, or too long.
    """
    end = buffer.find(b"\r\n", 2)
    line = bytes(buffer[: end + 2 if end >= 0 else _CHUNK_MAX_BYTES])
    if end < 0 and len(line) < _CHUNK_MAX_BYTES and not _FORBIDDEN.search(line):
        return None
    if not _CHUNK.fullmatch(line):
        raise BadRequest("Bad chunked encoding")
    return line


def without_surrogates(headers: Header) -> Header:
    """The same with U+FFFD for what is no UTF-8: Sanic leaves half characters, which break us."""
    return Header(
        [
            (name, value.encode(errors="surrogateescape").decode(errors="replace"))
            for name, value in headers.items()
        ]
    )
