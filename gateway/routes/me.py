"""``GET /api/me``: what a key may do, so that a page need not try."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Access, Need
from gateway.answers import Success
from gateway.services import Services
from tts.wire import Me


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    del services  # who asks is known when a request is admitted
    endpoint.add(app, "GET", "/api/me", me, need=Need.READ)


async def me(request: Request) -> HTTPResponse:
    """What the credential of the request grants."""
    access: Access = request.ctx.access
    answer: Me = {
        "keyId": access.key_id or None,
        "owner": access.owner,
        "role": access.role.value,
        "scope": access.scope,
        "mayCommand": access.may(Need.COMMAND),
        "mayOperate": access.may(Need.OPERATE),
        "expiresAt": access.ends.isoformat() if access.ends is not None else None,
    }
    return Success(answer)
