"""``POST /webhooks/replicate``: Replicate tells that a prediction is over."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.access.signature import check_signature, check_time
from gateway.answers import Success
from gateway.errors import RouteNotFound
from gateway.models import PredictionNews, parse_body
from gateway.services import Services
from tts.wire import WebhookTaken

OVER = frozenset({"succeeded", "failed", "canceled", "aborted"})


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route. Its signature is the key, so that it asks for no other."""
    webhooks = services.webhooks

    async def replicate(request: Request) -> HTTPResponse:
        """Pass the news on; who waits for the prediction looks at it himself.

        The body only says which prediction to look at, so that a webhook that comes twice, late or
        out of order does no harm.
        """
        if webhooks is None:
            raise RouteNotFound("webhooks are off here")
        now = services.application.now().timestamp()
        check_time(request.headers, now)  # first: the key may have to be asked for
        check_signature(request.headers, request.body, await webhooks.secret.key())
        news = parse_body(PredictionNews, request.body)
        over = news.status in OVER
        if over:
            await webhooks.signals.send(news.id)
        answer: WebhookTaken = {"heeded": over}
        return Success(answer)

    endpoint.add(app, "POST", "/webhooks/replicate", replicate, need=Need.NOTHING)
