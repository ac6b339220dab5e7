"""The output of a prediction: fetched from wherever Replicate says that it lies."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from io import BytesIO

import httpx

from tts.domain.failures import StepError
from tts.http.errors import FetchError, TooLarge
from tts.http.fetch import fetch, retry_after
from tts.http.reach import Reach
from tts.http.transport import Transport
from tts.replicate import data_uri
from tts.replicate.wholeness import flaw

logger = logging.getLogger(__name__)

PARTS = 100  # of one output
AGAIN_SECONDS = 1.0  # until a second download of what did not arrive as audio
_GONE = {
    HTTPStatus.UNAUTHORIZED,  # a signed link that has ended says so in one of four ways
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}
_PASSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Outputs:
    """Downloads of at most ``max_bytes`` within ``timeout`` seconds each, with no token on them.

    An address was chosen by a model, so nothing is fetched that ``reach`` does not admit; and what
    a client may read about a failure tells nothing of who answered: the log has the details.
    """

    def __init__(
        self, *, max_bytes: int, timeout: float, reach: Reach, trust: ssl.SSLContext | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._listed = bool(reach.hosts)
        self._transport = Transport(timeout=timeout, reach=reach, trust=trust)

    async def download(self, address: str) -> bytes:
        """The whole output; of several addresses, with a blank between them, the parts in one.

        Raises:
            StepError: at step ``download``; ``output_missing`` if nothing lies there any more,
                ``output_broken`` if what lies there is no whole audio, twice.
        """
        urls = address.split()
        if not 0 < len(urls) <= PARTS:
            raise _unusable(f"it has no address, or more than {PARTS}")
        parts: list[bytes] = []
        for url in urls:
            parts.append(await self._part(url, self._max_bytes - sum(map(len, parts))))
        return parts[0] if len(parts) == 1 else await self._joined(parts)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _part(self, url: str, limit: int) -> bytes:
        try:
            if data_uri.is_one(url):
                data = data_uri.decoded(url, limit)
                if wrong := flaw(data):
                    raise _broken(wrong)
                return data
            try:
                return await self._fetched(url, limit)
            except StepError as error:
                if error.code != "output_broken":
                    raise
            await asyncio.sleep(AGAIN_SECONDS)
            return await self._fetched(url, limit)
        except TooLarge as error:
            raise _unusable("it is larger than AUDIO_MAX_BYTES") from error
        except (FetchError, data_uri.Broken) as error:
            raise _unusable(str(error)) from error

    async def _fetched(self, url: str, limit: int) -> bytes:
        try:
            async with asyncio.timeout(self._timeout):
                reply = await fetch(self._transport, url, limit=limit, elsewhere=self._listed)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise _unusable("its address is no http(s) URL") from error
        except (httpx.HTTPError, TimeoutError) as error:
            logger.info("An output did not arrive: %s", type(error).__name__)
            raise _unavailable("The output did not arrive") from error
        if reply.status == HTTPStatus.OK:
            if wrong := flaw(reply.body):
                raise _broken(wrong)
            return reply.body
        logger.info("An output's host answered %s", reply.status)
        if reply.status in _GONE:
            raise StepError("output_missing", "download", "The output is not there any more")
        if reply.status == HTTPStatus.BAD_REQUEST:  # S3 says so of a link that has ended
            raise _broken("its host takes the address for wrong")
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in _PASSES:
            message = "The output's host cannot deliver it now"
            raise _unavailable(message, retry_after(reply.headers))
        raise _unusable("its host refuses it")

    async def _joined(self, parts: list[bytes]) -> bytes:
        from tts.sound.join import join  # noqa: PLC0415 -- it brings numpy along, for a rare case

        async def each() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        whole = BytesIO()
        try:
            await join(each(), whole, None, limit=self._max_bytes)
        except StepError as error:
            if error.code == "audio_too_long":
                raise _unusable("it is larger than AUDIO_MAX_BYTES") from error
            raise StepError("not_audio", "download", error.message) from error
        return whole.getvalue()


def _unusable(why: str) -> StepError:
    message = f"The output cannot be used: {why}"
    return StepError("output_refused", "download", message)


def _broken(why: str) -> StepError:
    return StepError("output_broken", "download", f"The output is not whole: {why}")


def _unavailable(message: str, wait: float | None = None) -> StepError:
    return StepError("output_unavailable", "download", message, retry_after=wait)
