"""The output of a prediction: fetched from wherever Replicate says that it lies."""

from __future__ import annotations

import asyncio
import base64
import binascii
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import httpx

from tts.domain.failures import StepError
from tts.http.fetch import FetchError, fetch, retry_after
from tts.http.transport import AiohttpTransport

_GONE = {
    HTTPStatus.UNAUTHORIZED,  # a signed link that has ended says so in one of four ways
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}
_PASSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Outputs:
    """Downloads of at most ``max_bytes`` within ``timeout`` seconds, with no token on them."""

    def __init__(self, *, max_bytes: int, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            headers={"Accept-Encoding": "identity"},
        )

    async def download(self, url: str) -> bytes:
        """The whole output; it may be the URL itself.

        Raises:
            StepError: at step ``download``; ``output_missing`` if nothing lies there any more.
        """
        scheme = url.partition(":")[0].lower()
        if scheme == "data":
            return self._decoded(url)
        if scheme not in {"http", "https"}:
            raise _unusable(f"its address begins with {scheme[:20]!r}")
        try:
            async with asyncio.timeout(self._timeout):
                reply = await fetch(self._client, url, limit=self._max_bytes)
        except FetchError as error:
            raise _unusable(str(error)) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise _unusable("it has no proper address") from error
        except (httpx.HTTPError, TimeoutError) as error:
            message = f"The output did not arrive: {type(error).__name__}"
            raise _unavailable(message) from error
        if reply.status == HTTPStatus.OK:
            return reply.body
        message = f"The output's host answered {reply.status}"
        if reply.status in _GONE:
            raise StepError("output_missing", "download", message)
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in _PASSES:
            raise _unavailable(message, retry_after(reply.headers))
        raise _unusable(message)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _decoded(self, url: str) -> bytes:
        kind, comma, content = url.partition(",")
        if not comma:
            raise _unusable("it is a data URI without data")
        if len(content) > 4 * self._max_bytes:  # neither encoding is longer than that
            raise _unusable(f"more than {self._max_bytes} bytes")
        try:
            encoded = unquote_to_bytes(content)
            base64_coded = kind.lower().endswith(";base64")
            data = base64.b64decode(encoded, validate=True) if base64_coded else encoded
        except (binascii.Error, ValueError) as error:
            raise _unusable("it is a broken data URI") from error
        if len(data) > self._max_bytes:
            raise _unusable(f"{len(data)} bytes, more than {self._max_bytes}")
        return data


def _unusable(why: str) -> StepError:
    message = f"The output cannot be used: {why}"
    return StepError("output_refused", "download", message)


def _unavailable(message: str, wait: float | None = None) -> StepError:
    return StepError("output_unavailable", "download", message, retry_after=wait)
