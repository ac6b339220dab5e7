"""All predictions: found by id and by output URL, listed by page, brought back from a journal."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from tts.sandbox.predictions import Prediction, restored

PAGE = 100
# Bounds of the memory and of the journal: a prediction is forgotten when this many newer ones
# exist, or, at a start, this many seconds after its end.
MOST = 100_000
FORGET_SECONDS = 86_400.0


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
        self._journal: BinaryIO | None = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        for prediction in _read(path):
            if now < prediction.ends_at + FORGET_SECONDS:
                self._keep(prediction)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(b"".join(_line(prediction) for prediction in self._order))
        fresh.replace(path)
        # Unbuffered: what was written survives the death of the process, if not of the machine.
        self._journal = path.open("ab", buffering=0)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._order)

    def add(self, prediction: Prediction) -> None:
        """Keep a new prediction."""
        self._write(_line(prediction))
        self._keep(prediction)

    def cancel(self, prediction: Prediction, now: float) -> bool:
        """End it now; False if it is over already."""
        if not prediction.cancel(now):
            return False
        self._write(orjson.dumps({"canceled": prediction.id, "at": now}) + b"\n")
        return True

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
                del self._by_id[old.id], self._by_token[old.token]
            del self._order[:PAGE]

    def _write(self, line: bytes) -> None:
        if self._journal is not None:
            self._journal.write(line)


def _created(prediction: Prediction) -> float:
    return prediction.created_at


def _line(prediction: Prediction) -> bytes:
    return orjson.dumps(prediction) + b"\n"


def _read(path: Path) -> list[Prediction]:
    """What the journal says; a last line without its end was being written at the kill."""
    if not path.exists():
        return []
    found: dict[str, Prediction] = {}
    for line in path.read_bytes().split(b"\n")[:-1]:
        record: dict[str, Any] = orjson.loads(line)
        if "canceled" in record:
            if record["canceled"] in found:
                found[record["canceled"]].cancel(record["at"])
        else:
            found[record["id"]] = restored(record)
    # A clock that was set back must not break the order that the bisections rely on.
    return sorted(found.values(), key=_created)
