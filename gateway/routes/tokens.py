"""``POST /api/stream-token``: for browsers, whose streams cannot carry an Authorization header."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.answers import Success
from gateway.services import Services
from tts.wire import StreamToken


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    admission = services.admission

    async def issue(request: Request) -> HTTPResponse:
        token, ends = admission.stream_token(request.ctx.access)
        answer: StreamToken = {"token": token, "expiresAt": ends.isoformat()}
        return Success(answer)

    endpoint.add(app, "POST", "/api/stream-token", issue, need=Need.READ)
