"""``/openapi.json`` and ``/docs``: the API described, from what the app really serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.resources.abc import Traversable
from typing import Any

import orjson
from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint, swagger_ui
from gateway.access.roles import Need
from gateway.description import chinese, openapi, page
from gateway.description.operation import JSON
from gateway.description.schemas import Json
from gateway.errors import RouteNotFound
from gateway.services import Services
from gateway.static_file import StaticFile
from gateway.static_files import JAVASCRIPT, PAGE, PAGE_HEADERS, STATIC, STYLES

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
REFERENCE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
}
OWN = ("docs.html", "docs.js", "docs.css")
KINDS = {"html": PAGE, "js": JAVASCRIPT, "css": STYLES}


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes; to be called when all others are there."""
    ui = UserInterface()
    docs = Docs(lambda: document(app, services), ui)
    endpoint.add(app, "GET", "/openapi.json", docs.openapi, need=Need.NOTHING)
    endpoint.add(app, "GET", "/docs", docs.first_page, need=Need.NOTHING)
    endpoint.add(app, "GET", "/docs/reference", docs.reference, need=Need.NOTHING)
    endpoint.add(app, "GET", "/docs/ui/<file:str>", ui.file, need=Need.NOTHING)


def document(app: Sanic[Any, Any], services: Services) -> Json:
    """The description of the routes that the app has by now."""
    served = {
        (method, openapi.path_of(path)): need for (method, path), need in app.ctx.needs.items()
    }
    guarded = services.settings.tts_api_keys_file is not None
    return openapi.document(services.settings, served, guarded=guarded)


class UserInterface:
    """The handlers of the page that sends requests, too, and of what it is made of."""

    def __init__(self) -> None:
        paths = swagger_ui.files()
        self.is_there = bool(paths)
        self._paths: dict[str, Traversable] = {**paths, **{name: STATIC / name for name in OWN}}
        self._files: dict[str, StaticFile] = {}

    async def page(self, request: Request) -> HTTPResponse:
        """The page."""
        return await self._file("docs.html").answer(request)

    async def file(self, request: Request, file: str) -> HTTPResponse:
        """A script or its styles, read for the first who asks."""
        if file not in self._paths:
            raise RouteNotFound(f"there is no file {file!r}")
        return await self._file(file).answer(request)

    def _file(self, name: str) -> StaticFile:
        if name not in self._files:
            kind = KINDS[name.rpartition(".")[2]]
            more = PAGE_HEADERS if kind == PAGE else {}
            self._files[name] = StaticFile(self._paths[name].read_bytes(), kind, more)
        return self._files[name]


class Docs:
    """The handlers of what is made here, each answer once: it takes a tenth of a second."""

    def __init__(self, document: Callable[[], Json], ui: UserInterface) -> None:
        self._document = document
        self._ui = ui
        self._making = asyncio.Lock()
        self._made: dict[str, tuple[bytes, str]] = {}

    async def openapi(self, request: Request) -> HTTPResponse:
        """The document for machines; in Chinese if it is asked for by ``?lang=zh``."""
        body, _ = await self._in("zh" if _named(request) == "zh" else "en")
        return HTTPResponse(body, headers=HEADERS, content_type=JSON)

    async def first_page(self, request: Request) -> HTTPResponse:
        """The page that sends requests, or the reference where that is not there."""
        if self._ui.is_there:
            return await self._ui.page(request)
        answer = await self.reference(request)
        # It lies one folder higher here.
        answer.body = (answer.body or b"").replace(b'href="../', b'href="')
        return answer

    async def reference(self, request: Request) -> HTTPResponse:
        """The document for people, on one page without scripts."""
        _, text = await self._in(_wanted(request))
        return HTTPResponse(text, headers=REFERENCE_HEADERS, content_type=PAGE)

    async def _in(self, language: str) -> tuple[bytes, str]:
        async with self._making:
            if language not in self._made:
                self._made[language] = await asyncio.to_thread(self._make, language)
        return self._made[language]

    def _make(self, language: str) -> tuple[bytes, str]:
        document = self._document()
        if language == "zh":
            document = chinese.translated(document)
        text = page.render(document, language, with_ui=self._ui.is_there)
        return orjson.dumps(document), text


def _named(request: Request) -> str | None:
    """The language that the URL names."""
    name: str | None = request.args.get("lang")
    return name


def _wanted(request: Request) -> str:
    """The language that the URL names, else that the browser likes best."""
    wanted: str = _named(request) or request.headers.get("accept-language") or ""
    return "zh" if wanted.strip().lower().startswith("zh") else "en"
