"""Replicate's list of predictions, found by when they were made; the clocks may differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from tts.http.errors import TooLarge
from tts.ports.speech import Listed
from tts.replicate.api import Api
from tts.replicate.documents import created_at
from tts.replicate.errors import unreadable

T = TypeVar("T")

PAGES = 1000  # of 100 predictions each: more than an account makes in any window
NARROWEST = timedelta(seconds=1)  # of a list's window; Replicate's times may be no finer
NARROWEST_BYTES = 100_000_000  # of a page of such a window; such pages are read one at a time
OVERLAP = timedelta(milliseconds=1)  # whether a window has its ends, Replicate does not say


class Listing:
    """Of one account, asked for through its ``api``."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._narrowest = asyncio.Lock()

    async def entries(
        self, kind: Callable[[Any], T | None], since: datetime, until: datetime
    ) -> list[tuple[T, Listed]]:
        """Those of a kind that is not None, with their kind, newest first; times are ours.

        Raises:
            StepError: at step ``find``: they cannot be read now.
        """
        while True:
            ahead = self._api.clock.ahead
            first = (since - ahead).astimezone(UTC).replace(microsecond=0)
            last = (until - ahead).astimezone(UTC).replace(microsecond=0) + NARROWEST
            found = await self._listed(kind, first, last)
            if abs(self._api.clock.ahead - ahead) <= NARROWEST:
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
            return await self._api.call("find", "GET", url)
        async with self._narrowest:
            return await self._api.call("find", "GET", url, limit=NARROWEST_BYTES)
