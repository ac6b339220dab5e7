"""The last thing that this process complained of in its log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from tts.wire import LastProblem

LONGEST = 300  # characters
IGNORED = "gateway.security"  # what strangers cause is no trouble of the process


class LastProblemHandler(logging.Handler):
    """Keeps the last warning or error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.newest: LastProblem | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it; only its sentence, which holds no text, key or token."""
        if not record.name.startswith(IGNORED):
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
            self.newest = {"at": at, "message": record.getMessage()[:LONGEST]}


LAST_PROBLEM = LastProblemHandler()
