"""Faults of the HTTP routes: what the caller gets instead of the reply, or after it.

Each is a coroutine over a :class:`Call`; ``await call.proceed()`` does what was asked for and
returns the true reply, so a fault decides by itself whether the thing happens before, after or
never.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import cast

from sanic import HTTPResponse, Request

from tts.sandbox.problems import INVALID_VERSION, problem

FOREVER = 86_400.0
PAGE = b"<!DOCTYPE html><html><body><h1>It works, but not for you</h1></body></html>"
_INVALID_FIELDS = [{"type": "required", "field": "input", "description": "tts_text is required"}]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and the way to have it answered truly."""

    request: Request
    proceed: Callable[[], Awaitable[HTTPResponse]]


# Takes a Call and keyword arguments of its own; None says that it sent the reply itself.
ReplyFault = Callable[..., Awaitable[HTTPResponse | None]]


async def status(
    _call: Call,
    *,
    status: int,
    title: str | None = None,
    detail: str | None = None,
    retry_after: str | int | None = None,
    retry_after_field: float | None = None,
) -> HTTPResponse:
    """Refused with an HTTP status; Retry-After as header and as field only if given."""
    return problem(
        status,
        title=title,
        detail=detail,
        headers={} if retry_after is None else {"retry-after": str(retry_after)},
        retry_after=retry_after_field,
        invalid_fields=_INVALID_FIELDS if status == 422 and title is None else None,  # noqa: PLR2004 -- HTTP
    )


async def invalid_version(_call: Call) -> HTTPResponse:
    """Refused with 422 ``Invalid version or not permitted``."""
    title, detail = INVALID_VERSION
    return problem(422, title=title, detail=detail)


async def hang_before(call: Call, *, seconds: float = FOREVER) -> HTTPResponse:
    """Nothing happens for ``seconds``, then what was asked for."""
    await asyncio.sleep(seconds)
    return await call.proceed()


async def hang_after(call: Call, *, seconds: float = FOREVER) -> HTTPResponse:
    """What was asked for is done at once, the reply comes after ``seconds``."""
    reply = await call.proceed()
    await asyncio.sleep(seconds)
    return reply


async def reset_before(call: Call) -> None:
    """The connection is reset and nothing was done."""
    await _reset(call.request)


async def reset_after(call: Call) -> None:
    """Done, but the connection is reset before the reply: on ``create``, paid and lost."""
    await call.proceed()
    await _reset(call.request)


async def failed_after(call: Call, *, status: int = 500) -> HTTPResponse:
    """Done, but the reply says in Replicate's own words that it failed."""
    await call.proceed()
    return problem(status)


async def malformed(call: Call) -> HTTPResponse:
    """Done, and the reply breaks off in the middle of its JSON, with a good status."""
    reply = await call.proceed()
    body = reply.body or b""
    return HTTPResponse(body[: len(body) // 2], reply.status, content_type="application/json")


async def array(call: Call) -> HTTPResponse:
    """Done, and the reply stands inside a JSON array."""
    reply = await call.proceed()
    return HTTPResponse(
        b"[%b]" % (reply.body or b""), reply.status, content_type="application/json"
    )


async def html(_call: Call, *, status: int = 200) -> HTTPResponse:
    """An HTML page instead."""
    return HTTPResponse(PAGE, status, content_type="text/html; charset=utf-8")


async def empty(call: Call) -> HTTPResponse:
    """Done, and the reply has no body."""
    reply = await call.proceed()
    return HTTPResponse(b"", reply.status, content_type=reply.content_type)


async def wrong_type(call: Call, *, content_type: str = "text/html") -> HTTPResponse:
    """Done, and the reply is labelled as something else."""
    reply = await call.proceed()
    return HTTPResponse(reply.body, reply.status, content_type=content_type)


async def not_utf8(_call: Call) -> HTTPResponse:
    """Chinese text in GBK, which is not UTF-8."""
    return HTTPResponse("这是一段参考录音。".encode("gbk"), content_type="text/plain")


async def redirect(_call: Call, *, location: str = "http://169.254.169.254/") -> HTTPResponse:
    """302 to another place."""
    return HTTPResponse(status=302, headers={"location": location})


async def document(_call: Call, *, status: int = 200) -> HTTPResponse:
    """A JSON document instead."""
    return HTTPResponse(b'{"detail": "Not now"}', status, content_type="application/json")


async def xml(_call: Call, *, status: int = 400, code: str = "ExpiredToken") -> HTTPResponse:
    """An error as S3 writes it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
    return HTTPResponse(body, status, content_type="application/xml")


async def nul(_call: Call) -> HTTPResponse:
    """Text with NUL bytes in it."""
    return HTTPResponse(b"so it is\0\0not", content_type="text/plain")


async def partial(call: Call) -> HTTPResponse:
    """206 with the first half, although nobody asked for a part."""
    reply = await call.proceed()
    body = reply.body or b""
    headers = {"content-range": f"bytes 0-{len(body) // 2 - 1}/{len(body)}"}
    return HTTPResponse(
        body[: len(body) // 2], 206, headers=headers, content_type=reply.content_type
    )


async def cut(call: Call) -> HTTPResponse:
    """Done, and the body ends in the middle, without a word of the rest."""
    reply = await call.proceed()
    body = reply.body or b""
    return HTTPResponse(body[: len(body) // 2], reply.status, content_type=reply.content_type)


async def bomb(call: Call, *, size: int = 100_000_000, layers: int = 1) -> HTTPResponse:
    """Done, and the reply is a small gzip that unpacks to ``size`` bytes, ``layers`` deep."""
    reply = await call.proceed()
    body = _zipped(reply.body or b"", size)
    for _ in range(layers - 1):
        body = gzip.compress(body)
    headers = {"content-encoding": ", ".join(["gzip"] * layers)}
    return HTTPResponse(body, reply.status, headers, content_type=reply.content_type)


async def other_host(call: Call, *, base: str = "https://api.replicate.com") -> HTTPResponse:
    """Done, and every link in the reply begins with another base URL, as behind a proxy."""
    reply = await call.proceed()
    ours = f"{call.request.scheme}://{call.request.host}".encode()
    body = (reply.body or b"").replace(ours, base.encode())
    return HTTPResponse(body, reply.status, content_type=reply.content_type)


async def padded(call: Call, *, size: int = 100_000_000) -> HTTPResponse:
    """Done, and the body is filled up with spaces to ``size`` bytes; a range says that it is."""
    reply = await call.proceed()
    if reply.status == 206:  # noqa: PLR2004 -- HTTP
        piece = reply.headers["content-range"].partition("/")[0]
        headers = {"content-range": f"{piece}/{size}"}
        return HTTPResponse(reply.body, 206, headers, content_type=reply.content_type)
    body = (reply.body or b"").ljust(size)
    return HTTPResponse(body, reply.status, content_type=reply.content_type)


async def slow(call: Call, *, seconds: float = 10.0, pieces: int = 20) -> None:
    """Done, and the body trickles in over ``seconds``."""
    reply = await call.proceed()
    await _stream(call.request, reply, pieces, seconds / pieces, whole=True)


async def truncated(call: Call) -> None:
    """Done, and the connection is closed after half of the announced body."""
    reply = await call.proceed()
    await _stream(call.request, reply, 1, 0.0, whole=False)
    await _closed(_transport(call.request).close)


REPLIES: Mapping[str, ReplyFault] = {
    fault.__name__: fault
    for fault in (
        status,
        invalid_version,
        hang_before,
        hang_after,
        reset_before,
        reset_after,
        failed_after,
        malformed,
        array,
        html,
        empty,
        wrong_type,
        not_utf8,
        redirect,
        document,
        xml,
        nul,
        partial,
        cut,
        bomb,
        other_host,
        padded,
        slow,
        truncated,
    )
}


def _zipped(body: bytes, size: int) -> bytes:
    """The body as gzip, filled up with blanks to ``size`` bytes, a piece in memory at a time."""
    packer = zlib.compressobj(1, wbits=31)
    blanks = b" " * 1_000_000
    missing = max(size - len(body), 0)
    rest = (blanks[: missing - done] for done in range(0, missing, len(blanks)))
    return b"".join([*map(packer.compress, chain([body], rest)), packer.flush()])


async def _stream(
    request: Request, reply: HTTPResponse, pieces: int, pause: float, *, whole: bool
) -> None:
    body = reply.body or b""
    stream = await request.respond(
        status=reply.status,
        headers={**reply.headers, "content-length": str(len(body))},
        content_type=reply.content_type,
    )
    rest = memoryview(body if whole else body[: len(body) // 2])
    size = max(1, -(-len(rest) // pieces))
    for start in range(0, len(rest), size):
        await stream.send(bytes(rest[start : start + size]))
        await asyncio.sleep(pause)
    if whole:
        await stream.eof()


async def _reset(request: Request) -> None:
    transport = _transport(request)
    # A caller that has gone already needs no reset.
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    await _closed(transport.abort)


async def _closed(close: Callable[[], None]) -> None:
    close()
    # The loss of the connection cancels the handler; returning would make Sanic write on.
    await asyncio.sleep(FOREVER)


def _transport(request: Request) -> asyncio.Transport:
    return cast("asyncio.Transport", request.transport)
