"""What becomes of positions when the log goes back.

A failover to a standby that had not heard of the last commits, or an older copy that is restored,
takes away events that others have read, streamed and built upon. From then on the log is in a new
epoch. Its positions begin far above every one that was given before, at the time in microseconds:
so no position is ever given twice, whatever was lost and however often, and a position in between
(``survived`` < position < ``first``) is known for one that is gone. A position alone says which
epoch it belongs to; clients keep the plain numbers that they have always had, and those that have
seen nothing of what is gone just go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

LEAP = 1_000_000_000  # no log loses as many events; for a clock that stands before 1970


@dataclass(frozen=True, slots=True)
class Epoch:
    """``survived`` is the newest position from before that is left; positions go on at ``first``.

    The ``id`` is random. Both positions are 0 for a log that has lost nothing yet.
    """

    number: int
    id: UUID
    survived: int
    first: int
    began: datetime


class WentBack(Exception):
    """The log has lost events that were read from it; whoever knows of them starts anew.

    ``survived`` is the newest position from before that is left, ``seen`` the one that is gone.
    """

    def __init__(self, *, survived: int, seen: int) -> None:
        super().__init__(
            f"the log has gone back: it ended at position {seen} or later, and of what it had "
            f"nothing after {survived} is left"
        )
        self.survived = survived
        self.seen = seen


class Epochs:
    """All epochs of a log, oldest first, as its store knows them."""

    def __init__(self, epochs: Sequence[Epoch] = ()) -> None:
        self._epochs = epochs

    @property
    def newest(self) -> Epoch | None:
        """The present one; None before the log was ever reached."""
        return self._epochs[-1] if self._epochs else None

    @property
    def oldest(self) -> Epoch | None:
        """The first one, whose id the log keeps for ever; None before it was ever reached."""
        return self._epochs[0] if self._epochs else None

    def check(self, position: int) -> None:
        """Return if nothing up to ``position`` is gone, else raise WentBack."""
        for epoch in self._epochs:
            if epoch.survived < position < epoch.first:
                raise WentBack(survived=epoch.survived, seen=position)

    def span(self, after: int, until: int) -> int:
        """How many positions lie in between, without those that are gone."""
        gaps = [e for e in self._epochs if e.first and after <= e.survived and e.first <= until]
        return until - after - sum(e.first - 1 - e.survived for e in gaps)

    def before(self, position: int, count: int) -> int:
        """The position from which ``span`` to ``position`` is ``count``, or 0."""
        for epoch in reversed(self._epochs):
            if position - count < epoch.first <= position:
                count -= position - epoch.first + 1
                position = epoch.survived
        return max(position - max(count, 0), 0)
