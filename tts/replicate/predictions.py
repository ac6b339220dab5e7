"""Replicate's predictions: created, looked at, found again, canceled and downloaded."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime
from urllib.parse import quote

import httpx
import orjson

from tts.http.reach import Reach
from tts.http.transport import JSON_BYTES
from tts.ports.speech import Listed, Prediction, Speech, Survey
from tts.replicate.api import Api
from tts.replicate.documents import (
    digest_of,
    input_digest,
    is_for,
    read,
    running,
    speech_input,
)
from tts.replicate.errors import unreadable
from tts.replicate.listing import Listing
from tts.replicate.output import Outputs
from tts.replicate.remote_clock import utc_now

CANCEL_AFTER_SECONDS = (5, 24 * 3600)  # what the header may say
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
        self._version = model_version
        self._webhook = (
            {"webhook": webhook, "webhook_events_filter": ["completed"]} if webhook else {}
        )
        self._api = Api(token=token, base_url=base_url, timeout=timeout, now=now, trust=trust)
        self._listing = Listing(self._api)
        self._longest = JSON_BYTES + max_bytes * 4 // 3  # its output may be in it, in base64
        reach = Reach(frozenset(output_hosts), own=httpx.URL(base_url))
        self._outputs = Outputs(
            max_bytes=max_bytes, timeout=download_timeout, reach=reach, trust=trust
        )

    async def create(self, speech: Speech, *, seconds_left: float) -> Prediction:
        """Create one; whatever else Replicate says about it is for :meth:`get` to read."""
        shortest, longest = CANCEL_AFTER_SECONDS
        seconds = int(min(max(seconds_left, shortest), longest))
        document = await self._api.call(
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
        document = await self._api.call("poll", "GET", path, limit=self._longest)
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
        found = await self._listing.entries(
            lambda result: is_for(result, wanted) or None, since, until
        )
        return [listed for _, listed in found]

    async def survey(self, *, since: datetime, until: datetime) -> Survey:
        """The predictions of that time for every speech at once.

        Raises:
            StepError: as :meth:`find`.
        """
        by_input = defaultdict(list)
        for digest, listed in await self._listing.entries(digest_of, since, until):
            by_input[digest].append(listed)
        return lambda speech: by_input.get(input_digest(speech_input(speech)), [])

    async def cancel(self, prediction_id: str) -> None:
        """Stop it if it still runs; one that is over or gone is left alone."""
        path = f"/v1/predictions/{quote(prediction_id, safe='')}/cancel"
        await self._api.call("cancel", "POST", path, fine=OVER)

    async def download(self, output_url: str) -> bytes:
        """The whole output, fetched without our token.

        Raises:
            StepError: at step ``download``.
        """
        return await self._outputs.download(output_url)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()
        await self._outputs.aclose()
