"""``GET /api/failures``: what each code means and what to do about it, in two languages."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.answers import Success
from gateway.description import chinese
from gateway.models import FailuresQuery, parse_query
from gateway.services import Services
from tts import wire
from tts.domain.failures import CODES


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    del services  # the table is the same everywhere
    endpoint.add(app, "GET", "/api/failures", failures, need=Need.READ)


async def failures(request: Request) -> HTTPResponse:
    """The codes by name."""
    query = parse_query(FailuresQuery, endpoint.query_of(request))
    words = {code: (failure.meaning, failure.action) for code, failure in CODES.items()}
    if query.lang == "zh":
        words |= chinese.failures()
    answer: wire.FailureCodes = {
        "language": query.lang,
        "failures": [
            {"code": code, "meaning": meaning, "action": action}
            for code, (meaning, action) in sorted(words.items())
        ],
    }
    return Success(answer)
