"""Answers as bytes: Sanic puts together the headers of each response anew, field by field."""

from __future__ import annotations

from http import HTTPStatus

import orjson

from gateway.sanic_internals import WholeResponse

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""What every answer of the API carries: it is no page, and what it says is true now."""

_EOL = "\r\n"
_HEADS: dict[tuple[int, bool], bytes] = {
    (status, keep_alive): (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: application/json\r\n"
        f"{''.join(f'{name.lower()}: {value}' + _EOL for name, value in HEADERS.items())}"
        f"connection: {'keep-alive' if keep_alive else 'close'}\r\n"
        "content-length: "
    ).encode()
    for status in (HTTPStatus.OK, HTTPStatus.ACCEPTED)
    for keep_alive in (True, False)
}


class Success(WholeResponse):
    """The envelope ``{"success": true, "data": …}`` with one of two statuses and no more headers.

    It goes out in one write. That spares a fifth of what Sanic costs a request.
    """

    __slots__ = ("more_headers",)

    def __init__(self, data: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.more_headers = b""  # whole lines
        self.stream = None
        self.status = int(status)  # counted and looked up by: to hash a member of an enum is slow
        self.body = orjson.dumps({"success": True, "data": data})

    def whole(self, *, keep_alive: bool) -> bytes:
        """Head and body."""
        assert self.body is not None  # noqa: S101 -- see above
        head = _HEADS[self.status, keep_alive]
        return head + b"%d\r\n%b\r\n%b" % (len(self.body), self.more_headers, self.body)
