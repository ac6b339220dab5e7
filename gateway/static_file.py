"""How one static file is answered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sanic import HTTPResponse, Request


class StaticFile:
    """The handler of one file, which is small enough to stay in memory."""

    def __init__(self, body: bytes, content_type: str, more: Mapping[str, str]) -> None:
        self._body = body
        self._content_type = content_type
        self._headers = {
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            # Any site may use the client; whom the API answers is another question.
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            **more,
        }

    async def answer(self, request: Request) -> HTTPResponse:
        """The file, unless the client has it."""
        if request.headers.get("if-none-match") == self._headers["ETag"]:
            return HTTPResponse(status=304, headers=self._headers)
        return HTTPResponse(self._body, headers=self._headers, content_type=self._content_type)
