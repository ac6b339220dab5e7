"""All predictions: found by id and by output URL, listed by page, brought back from a journal."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tts.sandbox import journal
from tts.sandbox.journal import Journal
from tts.sandbox.predictions import FORGET_SECONDS, Prediction

PAGE = 100
# Bounds of the memory and of the journal: a prediction is forgotten when this many newer ones
# exist, or, at a start, FORGET_SECONDS after its end.
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first; the cursors are ids to continue from, None where nothing is left."""

    items: list[Prediction]
    older: str | None
    newer: str | None


class Shelf:
    """The predictions. With a ``path`` each change is a line there before anyone hears of it."""

    def __init__(self, path: Path | None, *, now: float) -> None:
        self._by_id: dict[str, Prediction] = {}
        self._by_token: dict[str, Prediction] = {}
        self._order: list[Prediction] = []
        self._journal: Journal | None = None
        if path is None:
            return
        # A clock that was set back must not break the order that the bisections rely on.
        for prediction in sorted(journal.read(path), key=_created):
            if now < prediction.ends_at + FORGET_SECONDS:
                self._keep(prediction)
        self.forget(now)
        self._journal = Journal(path, self._order)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._order)

    def add(self, prediction: Prediction) -> None:
        """Keep a new prediction."""
        if self._journal is not None:
            self._journal.add(prediction)
        self._keep(prediction)

    def cancel(self, prediction: Prediction, now: float) -> bool:
        """End it now; False if it is over already."""
        if not prediction.cancel(now):
            return False
        if self._journal is not None:
            self._journal.cancel(prediction, now)
        return True

    def forget(self, now: float) -> None:
        """Forget the words whose time is over, in the journal too."""
        for prediction in self._order:
            if prediction.input and now >= prediction.forgets_at:
                self._forget(prediction)

    def get(self, prediction_id: str) -> Prediction | None:
        """The prediction with this id."""
        return self._by_id.get(prediction_id)

    def with_token(self, token: str) -> Prediction | None:
        """The prediction whose output has this secret in its URL."""
        return self._by_token.get(token)

    def page(
        self, *, after: float, before: float, older_than: str | None, newer_than: str | None
    ) -> Page:
        """Up to 100 predictions created from ``after`` to ``before``, on one side of a cursor.

        Raises:
            KeyError: the cursor names no prediction.
        """
        low = bisect_left(self._order, after, key=_created)
        high = bisect_right(self._order, before, key=_created)
        if older_than is not None:
            end = min(high, self._index(older_than))
            start = max(low, end - PAGE)
        elif newer_than is not None:
            start = max(low, self._index(newer_than) + 1)
            end = min(high, start + PAGE)
        else:
            end = high
            start = max(low, end - PAGE)
        items = self._order[start:end][::-1]
        return Page(
            items,
            older=items[-1].id if items and start > low else None,
            newer=items[0].id if items and end < high else None,
        )

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def _index(self, prediction_id: str) -> int:
        prediction = self._by_id[prediction_id]
        start = bisect_left(self._order, prediction.created_at, key=_created)
        return self._order.index(prediction, start)

    def _keep(self, prediction: Prediction) -> None:
        self._by_id[prediction.id] = self._by_token[prediction.token] = prediction
        self._order.append(prediction)
        if len(self._order) > MOST + PAGE:
            # In pieces, because each cut moves the whole list.
            for old in self._order[:PAGE]:
                if old.input:
                    self._forget(old)
                del self._by_id[old.id], self._by_token[old.token]
            del self._order[:PAGE]

    def _forget(self, prediction: Prediction) -> None:
        prediction.forget()
        if self._journal is not None:
            self._journal.forget(prediction)


def _created(prediction: Prediction) -> float:
    return prediction.created_at
