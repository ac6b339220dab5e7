"""How far our clock and Replicate's are apart, by the ``Date`` of its answers.

What was created is looked for by time. With a machine whose clock is minutes off it would not be
found, and be paid for again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

CUT = timedelta(seconds=1)  # the header has whole seconds


def utc_now() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)


class RemoteClock:
    """``ahead`` is by how much ours, which is ``now``, is ahead: nothing until we know better."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.ahead = timedelta(0)

    def heard(self, date: str | None, *, asked: datetime) -> None:
        """An answer to what we asked at that time has come now, and bears the date."""
        try:
            shown = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if shown.tzinfo is None:
            return
        # It was written some time in between. No more is changed than it demands.
        least, most = asked - shown - CUT, self.now() - shown
        self.ahead = min(max(self.ahead, least), most)
