"""A GET that trusts the other side with nothing: bounded in size, kept where it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from tts.http.errors import ForeignRedirect, OutOfReach
from tts.http.transport import NOTHING, Transport

REDIRECTS = 3
_WITH_BODY = {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}
_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A reply; the body of one that is no 200 or 206 is left unread."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    transport: Transport,
    url: str,
    *,
    limit: int,
    headers: Mapping[str, str] = NOTHING,
    head_only: bool = False,
    elsewhere: bool = False,
) -> Fetched:
    """GET ``url``; ``head_only`` reads about ``limit`` bytes and leaves the rest.

    A redirect is followed on its own host, and with ``elsewhere`` wherever the transport reaches.

    Raises:
        FetchError: too large, compressed, or led to where nothing is fetched.
        httpx.HTTPError, httpx.InvalidURL: as httpx does; a body cut short is one of them.
    """
    target = httpx.URL(url)
    for _ in range(REDIRECTS + 1):
        if target.userinfo:  # it would be sent along
            raise OutOfReach("its address carries credentials")
        async with transport.ask("GET", target, headers=headers) as answer:
            if answer.status in _REDIRECTS and "location" in answer.headers:
                onward = target.join(answer.headers["location"])
                if not (elsewhere or _stays(target, onward)):
                    raise ForeignRedirect("a redirect leads to another host")
                target = onward
                continue
            body = b""
            if answer.status in _WITH_BODY:
                body = await (answer.head(limit) if head_only else answer.whole(limit))
            return Fetched(answer.status, answer.headers, body)
    raise ForeignRedirect("it is redirected again and again")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a ``Retry-After`` header asks for, given as a number or as a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)


def _stays(origin: httpx.URL, target: httpx.URL) -> bool:
    """Whether it is the same host and port, perhaps by https instead of http."""
    if target.host != origin.host:
        return False
    if (target.scheme, target.port) == (origin.scheme, origin.port):
        return True
    return (origin.scheme, target.scheme) == (
        "http",
        "https",
    ) and target.port == origin.port is None
