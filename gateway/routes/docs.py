"""``GET /openapi.json`` and ``GET /docs``: the API described, from what the app really serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.description import openapi, page
from gateway.description.operation import JSON
from gateway.description.schemas import Json
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
    docs = Docs(lambda: document(app, services))
    endpoint.add(app, "GET", "/openapi.json", docs.openapi, need=Need.NOTHING)
    endpoint.add(app, "GET", "/docs", docs.page, need=Need.NOTHING)


def document(app: Sanic[Any, Any], services: Services) -> Json:
    """The description of the routes that the app has by now."""
    served = {
        (method, openapi.path_of(path)): need for (method, path), need in app.ctx.needs.items()
    }
    guarded = services.settings.tts_api_keys_file is not None
    return openapi.document(services.settings, served, guarded=guarded)


class Docs:
    """The handlers; both answers are made once, for the first who asks: it takes a tenth second."""

    def __init__(self, document: Callable[[], Json]) -> None:
        self._document = document
        self._answers = asyncio.Lock()
        self._json = b""
        self._page = ""

    async def openapi(self, _request: Request) -> HTTPResponse:
        """The document for machines."""
        await self._made()
        return HTTPResponse(self._json, headers=HEADERS, content_type=JSON)

    async def page(self, _request: Request) -> HTTPResponse:
        """The document for people."""
        await self._made()
        return HTTPResponse(
            self._page, headers=PAGE_HEADERS, content_type="text/html; charset=utf-8"
        )

    async def _made(self) -> None:
        async with self._answers:
            if not self._json:
                self._json, self._page = await asyncio.to_thread(self._make)

    def _make(self) -> tuple[bytes, str]:
        document = self._document()
        return orjson.dumps(document), page.render(document)
