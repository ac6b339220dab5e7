"""Whose a prediction is, from its creation until the log says so."""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from uuid import UUID

from tts.ports import Speech

REMEMBERED = 10_000  # predictions: many more than can be on their way into the log
Owner = tuple[UUID, int]  # a task and its segment


class Creations:
    """Whose the predictions are that this process knows of, and which are being created now.

    One for all runs of a processor. A prediction stands here before the log has it.
    """

    def __init__(self) -> None:
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

    def take(self, prediction_id: str, owner: Owner) -> bool:
        """Whether the prediction is the owner's; who asks first has it."""
        known = self._owners.setdefault(prediction_id, owner)
        while len(self._owners) > REMEMBERED:
            self._owners.popitem(last=False)
        return known == owner
