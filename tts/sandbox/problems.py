"""Errors as Replicate words them: ``application/problem+json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sanic import HTTPResponse

# Title and detail of each status; an empty title is left out, as Replicate does for some.
WORDING: Mapping[int, tuple[str, str]] = {
    400: ("", "The request could not be read."),
    401: ("Unauthenticated", "You did not pass a valid authentication token"),
    402: (
        "Insufficient credit",
        "You have insufficient credit to run this model.",
    ),
    403: ("Forbidden", "You do not have permission to perform this action."),
    404: ("", "The requested resource could not be found."),
    405: ("", "Method not allowed."),
    409: ("Conflict", "The request conflicts with the current state of the resource."),
    422: ("Input validation failed", "- input: tts_text is required\n"),
    429: ("", "Request was throttled. Your rate limit resets in ~5s."),
    500: ("", "Internal server error"),
    502: ("", "Bad gateway"),
    503: ("", "Service unavailable"),
    504: ("", "Gateway timeout"),
}

INVALID_VERSION = (
    "Invalid version or not permitted",
    "The specified version does not exist (or perhaps you don't have permission to use it?)",
)


def problem(
    status: int,
    *,
    title: str | None = None,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> HTTPResponse:
    """A problem reply; what is not given is worded as Replicate does. None fields are left out."""
    usual_title, usual_detail = WORDING.get(status, ("", f"Status {status}"))
    body: dict[str, Any] = {
        "title": usual_title if title is None else title,
        "detail": usual_detail if detail is None else detail,
        "status": status,
        **fields,
    }
    if not body["title"]:
        del body["title"]
    return HTTPResponse(
        orjson.dumps({name: value for name, value in body.items() if value is not None}),
        status=status,
        headers=dict(headers or {}),
        content_type="application/problem+json",
    )


class Refused(Exception):
    """The request is answered with ``response`` instead of what it asked for."""

    def __init__(self, response: HTTPResponse) -> None:
        super().__init__(f"refused with {response.status}")
        self.response = response
