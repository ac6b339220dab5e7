"""The dashboard at ``/``, the JavaScript client under ``/client/``, and its example page."""

from __future__ import annotations

from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.errors import RouteNotFound
from gateway.services import Services
from gateway.static_file import StaticFile
from gateway.static_files import FILES, JAVASCRIPT, MODULES, PAGE, PAGE_HEADERS, STATIC


def add_to(app: Sanic[Any, Any], _services: Services) -> None:
    """Add a route for each file, and one for the modules that the pages are made of."""
    dashboard = StaticFile((STATIC / "dashboard.html").read_bytes(), PAGE, PAGE_HEADERS)
    endpoint.add(app, "GET", "/", dashboard.answer, need=Need.NOTHING)
    for path, content_type in FILES.items():
        body = (STATIC / path.rpartition("/")[2]).read_bytes()
        more = PAGE_HEADERS if content_type == PAGE else {}
        endpoint.add(
            app, "GET", path, StaticFile(body, content_type, more).answer, need=Need.NOTHING
        )
    # One of the modules is a worker, which has the policy that it was served with.
    modules = {
        name: StaticFile((STATIC / "page" / name).read_bytes(), JAVASCRIPT, PAGE_HEADERS)
        for name in MODULES
    }

    async def module(request: Request, module: str) -> HTTPResponse:
        if module not in modules:
            raise RouteNotFound(f"there is no module {module!r}")
        return await modules[module].answer(request)

    endpoint.add(app, "GET", "/page/<module:str>", module, need=Need.NOTHING)
