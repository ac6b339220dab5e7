"""Predictions from before the log went back, of which it may know nothing: listed once for all.

Every task that was asked for before a failover has to look whether its prediction is among them.
With a backlog of thousands, a list for each would keep Replicate busy with nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tts.domain.steps import LIST_LAG
from tts.ports.epochs import Epoch
from tts.ports.speech import Listed, Predictions, Speech, Survey

FORGOTTEN_FOR = timedelta(hours=1)  # so long Replicate keeps an output, and no task lasts longer


class ForgottenPredictions:
    """One for each process; ``now`` is the time by which epochs begin."""

    def __init__(self, predictions: Predictions, now: Callable[[], datetime]) -> None:
        self._predictions = predictions
        self._now = now
        self._survey: asyncio.Task[Survey] | None = None
        self._kind = -1, False
        self._since = datetime.max.replace(tzinfo=UTC)

    async def of(
        self, epoch: Epoch, speech: Speech, *, since: datetime, until: datetime
    ) -> list[Listed]:
        """Those for this speech that were created in that time, newest first.

        ``until`` is the same for all who ask in an epoch, and up to an hour before it counts. A
        list serves all who ask while that time is not over; one that was begun behind it, for good.

        Raises:
            StepError: at step ``find``: the list cannot be read now.
        """
        since = max(since, epoch.began - FORGOTTEN_FOR)
        is_final = self._now() >= until + LIST_LAG
        survey = self._survey if self._reaches(since) else None
        if survey is None or self._kind != (epoch.number, is_final):
            self._kind = epoch.number, is_final
            # Twice as far back as this task needs: of many older ones, few begin another list.
            self._since = max(since - (epoch.began - since), epoch.began - FORGOTTEN_FOR)
            listing = self._predictions.survey(since=self._since, until=until)
            self._survey = survey = asyncio.ensure_future(listing)
        # Whoever gives up waiting leaves the list to the others.
        listed = (await asyncio.shield(survey))(speech)
        return [each for each in listed if each.created_at >= since]

    def _reaches(self, since: datetime) -> bool:
        """Whether the list goes back that far, or will; one that failed does not."""
        survey = self._survey
        if survey is None or since < self._since:
            return False
        return not survey.done() or not (survey.cancelled() or survey.exception())

    async def aclose(self) -> None:
        """Give up what is under way."""
        if self._survey is not None:
            self._survey.cancel()
            await asyncio.gather(self._survey, return_exceptions=True)
