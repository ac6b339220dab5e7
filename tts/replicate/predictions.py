"""Replicate, with what its own Python client knows, whose traps are closed off here.

Of that client (1.0.7) come the address and the headers with the token. All else is passed by: it
asks again behind our back, takes four times the CPU for a call, refuses the status ``aborted`` and
drops ``data_removed``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import orjson

from tts.http.errors import FetchError, TooLarge
from tts.http.reach import Reach
from tts.http.transport import JSON_BYTES, NOTHING, Answer, Transport
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

T = TypeVar("T")

CANCEL_AFTER_SECONDS = (5, 24 * 3600)  # what the header may say
PAGES = 1000  # of 100 predictions each: more than an account makes in any window
NARROWEST = timedelta(seconds=1)  # of a list's window; Replicate's times may be no finer
NARROWEST_BYTES = 100_000_000  # of a page of such a window; such pages are read one at a time
OVERLAP = timedelta(milliseconds=1)  # whether a window has its ends, Replicate does not say
SUCCESSES = range(200, 300)
OVER = frozenset({400, 404, 409, 410, 422})  # to a cancellation: nothing runs


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
        self._transport = Transport(timeout=timeout, trust=trust)
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
            body=orjson.dumps(
                {"version": self._version, "input": speech_input(speech), **self._webhook}
            ),
            headers={"Cancel-After": f"{seconds}s", "Content-Type": "application/json"},
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
        document = await self._call("poll", "GET", path, limit=self._longest)
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
            return await self._call("find", "GET", url, limit=NARROWEST_BYTES)

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
    def _client(self) -> httpx.AsyncClient:
        # It is loaded with the first call: a service that only starts need not wait for it.
        from replicate.client import Client  # noqa: PLC0415

        # Its own transport would take a moment to be made, and is of no use.
        idle = httpx.AsyncBaseTransport()
        client = Client(api_token=self._token, base_url=self._base_url, transport=idle)
        return client._async_client  # noqa: SLF001 -- nothing public tells what it sends

    @cached_property
    def _root(self) -> str:
        return str(self._client.base_url).rstrip("/")

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {name: self._client.headers[name] for name in ("Authorization", "User-Agent")}

    async def _call(
        self,
        step: str,
        method: str,
        path: str,
        *,
        said: Iterable[str] = (),
        fine: Collection[int] = (),
        headers: Mapping[str, str] = NOTHING,
        body: bytes = b"",
        limit: int | None = None,
    ) -> dict[str, Any]:
        """The answer, empty for a refusal that is ``fine``; no error quotes what was ``said``."""
        try:
            asked = self._clock.now()
            async with (
                asyncio.timeout(self._timeout),
                self._transport.ask(
                    method, self._root + path, headers={**self._headers, **headers}, body=body
                ) as answer,
            ):
                if answer.status not in SUCCESSES:
                    if answer.status in fine:
                        return {}
                    reason = await _reason(answer)
                    raise refused(step, answer.status, answer.headers, reason, said)
                document = orjson.loads(await answer.whole(limit))
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
        self._clock.heard(answer.headers.get("date"), asked=asked)
        return document


async def _reason(answer: Answer) -> bytes:
    try:
        return await answer.whole()
    except FetchError:
        return b""  # the status says enough
