"""The frame around every route: who asks, what went wrong, what is counted."""

from __future__ import annotations

import re
import time
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import errors
from gateway.access.admission import report
from gateway.access.roles import ANYBODY, Need
from gateway.errors import UnsupportedMediaType
from gateway.metrics import REQUESTS

Handler = Callable[..., Awaitable[HTTPResponse]]

JSON_TYPES = re.compile(r"application/(?:json|[\w.+-]+\+json)\s*(?:;|$)", re.IGNORECASE)


def add(app: Sanic[Any, Any], method: str, path: str, handler: Handler, *, need: Need) -> None:
    """Serve ``handler`` under ``path`` for those who may do what it ``need``s.

    What can be got can be asked for its head alone; Sanic leaves the body out.

    It finds the :class:`Access` of who asks in ``request.ctx.access``.

    A wrapper and no middleware: Sanic's costs several microseconds a request, and an exception that
    reaches Sanic many more.
    """
    admission, cors = app.ctx.admission, app.ctx.cors
    unguarded = admission.unguarded or need is Need.NOTHING

    async def endpoint(request: Request, **parameters: str) -> HTTPResponse:
        began = time.perf_counter()
        try:
            request.ctx.access = ANYBODY if unguarded else admission.admit(request, need)
            response = await handler(request, **parameters)
        except Exception as error:  # noqa: BLE001 -- every error has its answer in the table
            response = errors.answer(request, error)
            report(error, getattr(request.ctx, "access", None), request.client_ip, path)
        if cors is not None:
            cors.add_to(response, request)
        seconds = time.perf_counter() - began
        REQUESTS.answered(request.method, path, response.status, seconds)
        return response

    REQUESTS.expect(method, path)
    app.ctx.needs[method, path] = need
    name = f"{method}_{path.translate(_NAME)}"
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    # Sanic would read the source of each handler, to guess a format for errors that are ours.
    app.add_route(endpoint, path, methods=methods, name=name, error_format="json")


_NAME = {ord(character): "_" for character in "/<>:."}


def query_of(request: Request) -> dict[str, str]:
    """The first value of each field of the query; one that is given without a value is empty."""
    return {name: values[0] for name, values in request.get_args(keep_blank_values=True).items()}


def json_of(request: Request) -> bytes:
    """The body, which is said to be JSON; without the mark that some editors put before it.

    Raises:
        UnsupportedMediaType: it is said to be something else, or compressed.
    """
    headers = request.headers
    declared = headers.get("content-type")
    if declared is not None and not JSON_TYPES.match(declared):
        raise UnsupportedMediaType(f"Content-Type: must be application/json, not {declared!r}")
    if declared is None and "origin" in headers:
        # Any site can make a browser send this without asking; with a type it has to ask (CORS).
        raise UnsupportedMediaType("Content-Type: must be application/json")
    if "content-encoding" in headers:
        coding = headers["content-encoding"]
        if coding.strip().lower() != "identity":
            raise UnsupportedMediaType(f"Content-Encoding: must be left out, not {coding[:40]!r}")
    return request.body.removeprefix(BOM_UTF8)
