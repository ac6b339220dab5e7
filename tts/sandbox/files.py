"""Serving a file that is in memory the way a static host does: ETag, 304, ranges, HEAD."""

from __future__ import annotations

import hashlib
import re

from sanic import HTTPResponse, Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def file_reply(request: Request, body: bytes, content_type: str) -> HTTPResponse:
    """200, or 304, 206 and 416 as the request's conditions ask for."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": etag, "accept-ranges": "bytes"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or etag in known:
        return HTTPResponse(status=304, headers=headers)
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or not any(match.groups()):
        return HTTPResponse(body, headers=headers, content_type=content_type)
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last or len(body)), len(body) - 1)
    else:
        start, end = max(0, len(body) - int(last)), len(body) - 1
    if start > end:
        headers["content-range"] = f"bytes */{len(body)}"
        return HTTPResponse(status=416, headers=headers)
    headers["content-range"] = f"bytes {start}-{end}/{len(body)}"
    return HTTPResponse(
        body[start : end + 1], status=206, headers=headers, content_type=content_type
    )
