"""A GET that trusts the other side with nothing: bounded in size, kept where it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from tts.http.errors import ForeignRedirect, OutOfReach
from tts.http.transport import MAX_BYTES

REDIRECTS = 3
_WITH_BODY = {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A reply; the body of one that is no 200 or 206 is left unread."""

    status: int
    headers: httpx.Headers
    body: bytes


async def fetch(
    client: httpx.AsyncClient,
    url: str,
    *,
    limit: int,
    headers: Mapping[str, str] | None = None,
    head_only: bool = False,
    elsewhere: bool = False,
) -> Fetched:
    """GET ``url``; ``head_only`` reads about ``limit`` bytes and leaves the rest.

    A redirect is followed on its own host, and with ``elsewhere`` wherever the client reaches.

    Raises:
        FetchError: too large, compressed, or led to where nothing is fetched.
        httpx.HTTPError, httpx.InvalidURL: as httpx does; a body cut short is one of them.
    """
    target = httpx.URL(url)
    extensions = {MAX_BYTES: None if head_only else limit}
    for _ in range(REDIRECTS + 1):
        if target.userinfo:  # httpx would make a header of it
            raise OutOfReach("its address carries credentials")
        async with client.stream("GET", target, headers=headers, extensions=extensions) as response:
            if response.has_redirect_location:
                onward = target.join(response.headers["location"])
                if not (elsewhere or _stays(target, onward)):
                    raise ForeignRedirect("a redirect leads to another host")
                target = onward
                continue
            body = b""
            if response.status_code in _WITH_BODY:
                body = await (_head(response, limit) if head_only else _whole(response))
            return Fetched(response.status_code, response.headers, body)
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


async def _whole(response: httpx.Response) -> bytes:
    # The response and its stream know each other: what httpx reads stays until the collector comes.
    return b"".join([part async for part in response.aiter_bytes()])


async def _head(response: httpx.Response, limit: int) -> bytes:
    head = b""
    async for part in response.aiter_bytes():
        head += part
        if len(head) >= limit:
            break
    return head
