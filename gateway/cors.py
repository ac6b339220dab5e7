"""Which other sites' pages may read our answers (the Fetch standard's CORS protocol)."""

from __future__ import annotations

from collections.abc import Mapping

from sanic import HTTPResponse, Request

from gateway.answers import Success

ANY = "*"
METHODS = "GET, POST, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, Range"
EXPOSED = "Retry-After, WWW-Authenticate, ETag, Content-Range, Accept-Ranges"
MAX_AGE_SECONDS = 600


class Cors:
    """Adds the headers; ``origins`` such as ``https://app.example.com``, or ``*`` for all."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def headers(self, request: Request) -> Mapping[str, str]:
        """What an answer to ``request`` carries; nothing is allowed to origins not listed."""
        if ANY in self._origins:
            return {"access-control-allow-origin": ANY, "access-control-expose-headers": EXPOSED}
        origin = request.headers.get("origin")
        if origin not in self._origins:
            return {"vary": "Origin"}
        return {
            "access-control-allow-origin": str(origin),
            "access-control-expose-headers": EXPOSED,
            "vary": "Origin",
        }

    def lines(self, request: Request) -> bytes:
        """The same as they stand in a response."""
        return b"".join(f"{k}: {v}\r\n".encode() for k, v in self.headers(request).items())

    def add_to(self, response: HTTPResponse, request: Request) -> None:
        """Put the headers into a response that has none of them."""
        if isinstance(response, Success):
            response.more_headers = self.lines(request)
        elif "access-control-allow-origin" not in response.headers:
            response.headers.update(self.headers(request))

    def preflight(self, request: Request) -> HTTPResponse:
        """What a browser asks before a request that a form could not have made."""
        headers = dict(self.headers(request))
        if "access-control-allow-origin" in headers:
            headers["access-control-allow-methods"] = METHODS
            headers["access-control-allow-headers"] = REQUEST_HEADERS
            headers["access-control-max-age"] = str(MAX_AGE_SECONDS)
        return HTTPResponse(status=204, headers=headers)


def is_preflight(request: Request) -> bool:
    """Whether a browser asks for permission."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers
