"""Events of a newer version: this gateway cannot show them, and skips none in silence.

While a service is upgraded process by process, old gateways meet them. A stream that one belongs to
ends in front of it, and its reader comes back with its cursor, sooner or later to a newer gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import takewhile

from tts.ports.log import Recorded
from tts.wire import UPDATES

logger = logging.getLogger(__name__)


def readable(events: Sequence[Recorded]) -> list[Recorded]:
    """The events up to the first of a newer version."""
    return list(takewhile(lambda event: event.topic in UPDATES, events))


class Newer:
    """The topics that were met and cannot be shown; each is said once in the log."""

    def __init__(self) -> None:
        self._topics: set[str] = set()

    def met(self, topic: str) -> None:
        """Take note of one."""
        if topic not in self._topics:
            self._topics.add(topic)
            logger.warning(
                "The log has events of a newer version (%s): streams that they belong to end here, "
                "and go on at a newer gateway. Upgrade this one",
                topic,
            )

    def notes(self) -> list[str]:
        """What an operator should know of it."""
        if not self._topics:
            return []
        topics = ", ".join(sorted(self._topics))
        return [f"the log has events of a newer version ({topics}): upgrade this gateway"]
