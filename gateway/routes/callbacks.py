"""``GET /api/webhooks/secret``: what the owner's callbacks are signed with."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.admission import report_command
from gateway.access.roles import Need
from gateway.answers import Success
from gateway.services import Services
from tts.domain.naming import callback_secret
from tts.wire import CallbackSecret


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""

    async def secret(request: Request) -> HTTPResponse:
        access = request.ctx.access
        key = (await services.application.store.secret()).key
        report_command(access, "secret", "what callbacks are signed with", owner=access.owner)
        answer: CallbackSecret = {"secret": callback_secret(key, access.owner)}
        return Success(answer)

    endpoint.add(app, "GET", "/api/webhooks/secret", secret, need=Need.COMMAND)
