"""Heads of requests that two readers may read in two ways (RFC 9112); each is refused.

A proxy before us that reads one otherwise than we do lets an attacker hide a request in another.
Sanic's parser is lax: it takes blanks before a colon, odd numbers, and bare line feeds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sanic.compat import Header
from sanic.exceptions import BadRequest, PayloadTooLarge

FIELDS_MAX = 100
EXTENSIONS_MAX_BYTES = 16_384  # of all chunks of a body together

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_FIELD = _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD = re.compile(rb"(" + _TOKEN + rb") ([!\"$-~]++) HTTP/1\.[01]\r\n(?:" + _FIELD + rb")*+")
_ABSOLUTE = re.compile(r"https?://([^/?#@]+)/[!-~]*", re.IGNORECASE)
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


class Head(NamedTuple):
    """What a head says. A body's ``length`` is None if it comes in chunks, 0 if there is none."""

    raw: bytes
    method: str
    target: bytes
    version: str
    fields: Header
    authority: str | None  # in the target
    length: int | None
    keep_alive: bool
    expectation: str | None  # if a body is to come
    to_websocket: bool

    def hosts(self) -> list[str]:
        """The names that it calls us by, of which HTTP/1.0 may do without any.

        Raises:
            BadRequest: there is no ``Host``, or two.
        """
        hosts = self.fields.getall("host", ())
        if len(hosts) > 1 or (not hosts and self.version != "1.0"):
            raise BadRequest("Host: there must be exactly one")
        names = [str(host).rstrip(" \t") for host in hosts]
        return names if self.authority is None else [*names, self.authority]


def read_head(raw: bytes) -> Head:
    """Read a head; ``raw`` has no empty line at its end.

    Raises:
        BadRequest: it does not have the form that RFC 9112 gives it, or where the body ends is not
            certain.
        PayloadTooLarge: it has too many fields.
    """
    match = _HEAD.fullmatch(raw)
    if not match:
        check_part(raw)
        raise BadRequest("the request line or a header field is malformed")
    if raw.count(b"\n") > FIELDS_MAX + 1:
        raise PayloadTooLarge(f"the header has more than {FIELDS_MAX} fields")
    method, target = match[1].decode(), match[2].decode()
    # What is no UTF-8 becomes U+FFFD: half characters would break us.
    line, *lines = raw[:-2].decode(errors="replace").split("\r\n")
    fields = Header([_field(each) for each in lines])
    version = line[-len("1.1") :]
    connection = fields.get("connection")
    authority, length = _authority_in(method, target), _length(fields, version)
    return Head(
        raw=raw,
        method=method,
        target=match[2],
        version=version,
        fields=fields,
        authority=authority,
        length=length,
        keep_alive=version == "1.1" if connection is None else connection.lower() == "keep-alive",
        expectation=None if length == 0 else fields.get("expect"),
        to_websocket=fields.get("upgrade", "").lower() == "websocket",
    )


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.lstrip()


def _authority_in(method: str, target: str) -> str | None:
    if method == "CONNECT":
        raise BadRequest("CONNECT: this is no proxy")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return None
    absolute = _ABSOLUTE.fullmatch(target)
    if not absolute:
        raise BadRequest("the target must begin with /")
    return absolute[1]


def _length(fields: Header, version: str) -> int | None:
    lengths = fields.getall("content-length", ())
    codings = fields.getall("transfer-encoding", ())
    if len(lengths) + len(codings) > 1:
        raise BadRequest("Content-Length or Transfer-Encoding: there must be one at most")
    if codings:
        if version == "1.0":
            raise BadRequest("Transfer-Encoding: is not for HTTP/1.0")
        if codings[0] != "chunked":
            raise BadRequest("Transfer-Encoding: must be chunked")
        return None
    if lengths and not _DIGITS.fullmatch(lengths[0]):
        raise BadRequest("Content-Length: must be one number")
    return int(lengths[0]) if lengths else 0


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
