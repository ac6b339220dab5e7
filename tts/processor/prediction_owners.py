"""Whose a prediction is, from its creation until the log says so."""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from functools import partial
from uuid import UUID

import orjson

from tts.ports.coordination import SharedDocument
from tts.ports.speech import Speech

NAME = "creations"  # of the shared document
# Predictions: many more than can be on their way into the log. Only those that were found, and not
# simply answered, are shared.
REMEMBERED, SHARED = 10_000, 500

Owner = tuple[UUID, int]  # a task and its segment


class PredictionOwners:
    """Whose the predictions are that this process knows of, and which are being created now.

    One for all runs of a processor. A prediction stands here before the log has it. What this
    process is told by Replicate it keeps to itself; what it finds in the list it takes before the
    eyes of all processors.
    """

    def __init__(self, shared: SharedDocument) -> None:
        self._shared = shared
        self._owners: OrderedDict[str, Owner] = OrderedDict()
        self._under_way: Counter[Speech] = Counter()

    @contextlib.contextmanager
    def creating(self, speech: Speech) -> Iterator[None]:
        """Nobody takes a prediction for this speech meanwhile: it may be the one under way."""
        self._under_way[speech] += 1
        try:
            yield
        finally:
            self._under_way[speech] -= 1
            if not self._under_way[speech]:
                del self._under_way[speech]

    def under_way(self, speech: Speech) -> bool:
        """Whether a creation for this speech may be about to say which prediction is its own."""
        return speech in self._under_way

    def created(self, prediction_id: str, owner: Owner) -> bool:
        """Whether the prediction is the owner's, as far as this process knows; the first has it."""
        first = self._owners.setdefault(prediction_id, owner)
        while len(self._owners) > REMEMBERED:
            self._owners.popitem(last=False)
        return first == owner

    async def take(self, prediction_id: str, owner: Owner) -> bool:
        """Whether the prediction that was found is the owner's; who asks first has it.

        Raises:
            Unavailable: the store does not answer.
        """
        if not self.created(prediction_id, owner):
            return False
        return await self._shared.update(NAME, partial(_take, prediction_id, owner))


def _take(prediction_id: str, owner: Owner, document: bytes, _: float) -> tuple[bytes, bool]:
    owners: dict[str, list[str | int]] = orjson.loads(document or b"{}")
    entry: list[str | int] = [str(owner[0]), owner[1]]
    if prediction_id in owners:
        return document, owners[prediction_id] == entry
    owners[prediction_id] = entry
    return orjson.dumps(dict(list(owners.items())[-SHARED:])), True
