"""``POST /api/stream-token``: for browsers, whose streams cannot carry an Authorization header.

A token can do less than its key, for a few minutes: it stands in a URL, which others may see.
"""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need, Scope
from gateway.access.tokens import TokenRequest
from gateway.answers import Success
from gateway.models import parse_body
from gateway.services import Services
from tts.wire import StreamToken


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    admission = services.admission

    async def issue(request: Request) -> HTTPResponse:
        access = request.ctx.access
        order = parse_body(TokenRequest, endpoint.json_of(request) if request.body else b"{}")
        if order.scope is Scope.COMMAND:
            access.check(Need.COMMAND)
        token, ends = admission.token(access, order.scope, order.object_key or "")
        answer: StreamToken = {"token": token, "expiresAt": ends.isoformat()}
        return Success(answer)

    endpoint.add(app, "POST", "/api/stream-token", issue, need=Need.READ)
