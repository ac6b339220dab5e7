"""The file that brings predictions back after a restart, and forgets their words in time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from tts.sandbox.predictions import Prediction, restored

OWNER_ONLY = 0o600


class Journal:
    """One line of JSON for each change; no other user of the machine can read it.

    What was written survives the death of the process, if not of the machine.
    """

    def __init__(self, path: Path, predictions: Iterable[Prediction]) -> None:
        """Begin the file anew, with these."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)  # it may be of another, and readable
        self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        self._end = 0
        self._places: dict[str, tuple[int, int]] = {}  # start and length of each prediction's line
        for prediction in predictions:
            self.add(prediction)
        fresh.replace(path)

    def add(self, prediction: Prediction) -> None:
        """Write a new prediction down."""
        line = _line(prediction)
        self._places[prediction.id] = self._end, len(line)
        self._append(line)

    def cancel(self, prediction: Prediction, now: float) -> None:
        """Write down that it was canceled."""
        self._append(orjson.dumps({"canceled": prediction.id, "at": now}) + b"\n")

    def forget(self, prediction: Prediction) -> None:
        """Write over its line, now that it has no words: without them the line is shorter."""
        start, length = self._places.pop(prediction.id)
        line = _line(prediction)[:-1].ljust(length - 1) + b"\n"
        os.pwrite(self._file, line, start)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        os.pwrite(self._file, line, self._end)
        self._end += len(line)


def read(path: Path) -> list[Prediction]:
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
    return list(found.values())


def _line(prediction: Prediction) -> bytes:
    return orjson.dumps(prediction) + b"\n"
