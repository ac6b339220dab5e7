"""``GET /openapi.json`` and ``GET /docs``: the API described, from what the app really serves."""

from __future__ import annotations

from typing import Any

import orjson
from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.description import openapi, page
from gateway.description.operation import JSON
from gateway.services import Services

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
PAGE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes; to be called when all others are there."""
    docs = Docs()
    endpoint.add(app, "GET", "/openapi.json", docs.openapi, need=Need.NOTHING)
    endpoint.add(app, "GET", "/docs", docs.page, need=Need.NOTHING)
    served = {
        (method, openapi.path_of(path)): need for (method, path), need in app.ctx.needs.items()
    }
    guarded = services.settings.tts_api_keys_file is not None
    docs.describe(openapi.document(services.settings, served, guarded=guarded))


class Docs:
    """The handlers; both answers are made once."""

    def describe(self, document: dict[str, Any]) -> None:
        """Answer with this document from now on."""
        self._json = orjson.dumps(document)
        self._page = page.render(document)

    async def openapi(self, _request: Request) -> HTTPResponse:
        """The document for machines."""
        return HTTPResponse(self._json, headers=HEADERS, content_type=JSON)

    async def page(self, _request: Request) -> HTTPResponse:
        """The document for people."""
        return HTTPResponse(
            self._page, headers=PAGE_HEADERS, content_type="text/html; charset=utf-8"
        )
