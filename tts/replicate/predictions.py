"""Replicate, through its own Python client, whose traps are closed off here.

Of that client (1.0.7) come the address, the token and the headers; its model of a prediction is
passed by, because it refuses the status ``aborted`` and drops ``data_removed``, and so are its
``run``, ``wait`` and ``FileOutput``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import orjson

from tts.http.errors import FetchError, TooLarge
from tts.http.reach import Reach
from tts.http.transport import JSON_BYTES, MAX_BYTES, Transport
from tts.ports.speech import Listed, Prediction, Speech, Survey
from tts.replicate.documents import (
    created_at,
    digest_of,
    input_digest,
    is_for,
    read,
    running,
    speech_input,
)
from tts.replicate.errors import refused, unreached, unreadable
from tts.replicate.output import Outputs
from tts.replicate.remote_clock import RemoteClock, utc_now

if TYPE_CHECKING:
    from replicate.client import Client

T = TypeVar("T")

CONNECT_SECONDS = 5.0
CANCEL_AFTER_SECONDS = (5, 24 * 3600)  # what the header may say
PAGES = 1000  # of 100 predictions each: more than an account makes in any window
NARROWEST = timedelta(seconds=1)  # of a list's window; Replicate's times may be no finer
NARROWEST_BYTES = 100_000_000  # of a page of such a window; such pages are read one at a time
OVERLAP = timedelta(milliseconds=1)  # whether a window has its ends, Replicate does not say
OVER = frozenset({400, 404, 409, 410, 422})  # to a cancellation: nothing runs


class _Refusal(Exception):
    def __init__(self, response: httpx.Response, body: bytes) -> None:
        super().__init__(response.status_code)
        self.response = response
        self.body = body


class _NoHiddenRetries(Transport):
    """Raises what the client would repeat ten times behind our back or strip of its headers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if response.is_success:
            return response
        try:
            body = await response.aread()
        except FetchError:
            body = b""  # the status says enough
        finally:
            await response.aclose()
        raise _Refusal(response, body)


class ReplicatePredictions:
    """One for each process and event loop; ``timeout`` in seconds bounds every call.

    ``webhook`` is where Replicate tells that a prediction is over; empty for nowhere.
    ``max_bytes`` bounds an output, for which ``download_timeout`` applies, and which is fetched
    from ``output_hosts``, what is below them and ``base_url`` alone. With none of them that is any
    public address, and what is as near to us as ``base_url`` is: see :class:`Reach`. ``trust`` as
    in :class:`Transport`.
    """

    def __init__(
        self,
        *,
        token: str,
        base_url: str,
        model_version: str,
        timeout: float,
        max_bytes: int,
        webhook: str = "",
        output_hosts: Collection[str] = (),
        download_timeout: float = 60.0,
        now: Callable[[], datetime] = utc_now,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = RemoteClock(now)
        self._version = model_version
        self._timeout = timeout
        self._webhook = (
            {"webhook": webhook, "webhook_events_filter": ["completed"]} if webhook else {}
        )
        self._token = token
        self._base_url = base_url
        self._transport = _NoHiddenRetries(trust=trust)
        self._narrowest = asyncio.Lock()
        self._longest = JSON_BYTES + max_bytes * 4 // 3  # its output may be in it, in base64
        reach = Reach(frozenset(output_hosts), own=httpx.URL(base_url))
        self._outputs = Outputs(
            max_bytes=max_bytes, timeout=download_timeout, reach=reach, trust=trust
        )

    async def create(self, speech: Speech, *, seconds_left: float) -> Prediction:
        """Create one; whatever else Replicate says about it is for :meth:`get` to read."""
        shortest, longest = CANCEL_AFTER_SECONDS
        seconds = int(min(max(seconds_left, shortest), longest))
        document = await self._call(
            "create",
            "POST",
            "/v1/predictions",
            said=(speech.text, speech.instruction),
            json={
                "version": self._version,
                "input": speech_input(speech),
                **self._webhook,
            },
            headers={"Cancel-After": f"{seconds}s"},
        )
        prediction_id = document.get("id")
        if not isinstance(prediction_id, str) or not prediction_id:
            raise unreadable("create", "it has no id")
        return running(document, prediction_id, self._version)

    async def get(self, prediction_id: str) -> Prediction:
        """Look at it.

        Raises:
            StepError: at step ``poll``: it cannot be read now, or it failed, is lost or expired.
        """
        path = f"/v1/predictions/{quote(prediction_id, safe='')}"
        document = await self._call("poll", "GET", path, extensions={MAX_BYTES: self._longest})
        return read(document, prediction_id, self._version)

    async def find(self, speech: Speech, *, since: datetime, until: datetime) -> list[Listed]:
        """The predictions of that time for this speech that may be of use, newest first.

        Times are ours, wherever Replicate's clock stands.

        Replicate forgets the input an hour after the end, and with it what this looks for.

        Raises:
            StepError: at step ``find``, always ``AMBIGUOUS``: as long as nobody could look, the
                doubt remains.
        """
        wanted = speech_input(speech)
        found = await self._found(lambda result: is_for(result, wanted) or None, since, until)
        return [listed for _, listed in found]

    async def survey(self, *, since: datetime, until: datetime) -> Survey:
        """The predictions of that time for every speech at once.

        Raises:
            StepError: as :meth:`find`.
        """
        by_input = defaultdict(list)
        for digest, listed in await self._found(digest_of, since, until):
            by_input[digest].append(listed)
        return lambda speech: by_input.get(input_digest(speech_input(speech)), [])

    async def _found(
        self, kind: Callable[[Any], T | None], since: datetime, until: datetime
    ) -> list[tuple[T, Listed]]:
        """Those of a kind that is not None, with their kind, newest first; times are ours."""
        while True:
            ahead = self._clock.ahead
            first = (since - ahead).astimezone(UTC).replace(microsecond=0)
            last = (until - ahead).astimezone(UTC).replace(microsecond=0) + NARROWEST
            found = await self._listed(kind, first, last)
            if abs(self._clock.ahead - ahead) <= NARROWEST:
                return [(its, Listed(one.id, one.created_at + ahead)) for its, one in found]
            # The answer has shown that this was not the time that was meant.

    async def _listed(
        self, kind: Callable[[Any], T | None], since: datetime, until: datetime
    ) -> list[tuple[T, Listed]]:
        try:
            return [
                (its, Listed(result["id"], moment))
                async for result in self._results(since, until)
                if (its := kind(result)) is not None
                and since <= (moment := created_at(result, since))
            ]
        except TooLarge as error:
            # Inputs and outputs may be whole files: of a shorter time there are fewer.
            span = until - since
            if span < 2 * NARROWEST:
                reason = f"the list of a second has a page of over {NARROWEST_BYTES:,} bytes"
                raise unreadable("find", reason) from error
        middle = since + span / 2
        newer = await self._listed(kind, middle, until)
        return newer + await self._listed(kind, since, middle + OVERLAP)

    async def _results(self, since: datetime, until: datetime) -> AsyncIterator[Any]:
        """Every entry of the list, page after page."""
        query = urlencode({"created_after": since.isoformat(), "created_before": until.isoformat()})
        seen = {query}
        is_narrow = until - since < 2 * NARROWEST
        while True:
            page = await self._page(f"/v1/predictions?{query}", is_narrow=is_narrow)
            results = page.get("results")
            if not isinstance(results, list):
                raise unreadable("find", "the list has no results")
            for result in results:
                yield result
            onward = page.get("next")
            if not onward or (results and created_at(results[-1], since) < since):
                return
            # A proxy may name another host than ours, to which our token does not go.
            query = urlsplit(str(onward)).query
            if query in seen or len(seen) >= PAGES:
                raise unreadable("find", f"it goes round in circles, or has over {PAGES} pages")
            seen.add(query)

    async def _page(self, url: str, *, is_narrow: bool) -> dict[str, Any]:
        if not is_narrow:
            return await self._call("find", "GET", url)
        async with self._narrowest:
            return await self._call("find", "GET", url, extensions={MAX_BYTES: NARROWEST_BYTES})

    async def cancel(self, prediction_id: str) -> None:
        """Stop it if it still runs; one that is over or gone is left alone."""
        path = f"/v1/predictions/{quote(prediction_id, safe='')}/cancel"
        await self._call("cancel", "POST", path, fine=OVER)

    async def download(self, output_url: str) -> bytes:
        """The whole output, fetched without our token.

        Raises:
            StepError: at step ``download``.
        """
        return await self._outputs.download(output_url)

    async def aclose(self) -> None:
        """Close the connections; the client itself has no way to."""
        await self._transport.aclose()
        await self._outputs.aclose()

    @cached_property
    def _client(self) -> Client:
        # It is loaded with the first call: a service that only starts need not wait for it.
        from replicate.client import Client  # noqa: PLC0415

        return Client(
            api_token=self._token,
            base_url=self._base_url,
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_SECONDS)),
            transport=self._transport,
        )

    async def _call(
        self,
        step: str,
        method: str,
        url: str,
        *,
        said: Iterable[str] = (),
        fine: Collection[int] = (),
        **request: Any,
    ) -> dict[str, Any]:
        """The answer, empty for a refusal that is ``fine``; no error quotes what was ``said``."""
        try:
            asked = self._clock.now()
            async with asyncio.timeout(self._timeout):
                # The public methods lose what is needed (see above), and create() has no limit.
                response = await self._client._async_request(method, url, **request)  # noqa: SLF001
            document = orjson.loads(response.content)
        except _Refusal as refusal:
            response = refusal.response
            if response.status_code in fine:
                return {}
            raise refused(
                step, response.status_code, response.headers, refusal.body, said
            ) from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise unreached(step, error) from error
        except TooLarge as error:
            if step == "find":
                raise
            raise unreadable(step, str(error)) from error
        except FetchError as error:
            raise unreadable(step, str(error)) from error
        except orjson.JSONDecodeError as error:
            raise unreadable(step, "it is not JSON") from error
        if not isinstance(document, dict):
            raise unreadable(step, "it is no JSON object")
        self._clock.heard(response.headers.get("date"), asked=asked)
        return document
