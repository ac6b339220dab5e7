"""What an operator wants to hear of: refused credentials, changed keys, commands of admins.

Each is one record of the logger ``gateway.security`` and one count of
``tts_security_events_total``. No secret is ever part of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import StrEnum

from prometheus_client import Counter

from tts.observability.metrics.registries import GATEWAY

logger = logging.getLogger(__name__)

RECORDS_A_WINDOW = 10  # of one kind from one address; the rest is counted
WINDOW_SECONDS = 60.0
ADDRESSES_MAX = 1000  # remembered; the others share one window


class Event(StrEnum):
    """Kinds of security events."""

    CREDENTIAL_REFUSED = "credential_refused"
    ADDRESS_THROTTLED = "address_throttled"
    FORBIDDEN = "forbidden"
    BAD_SIGNATURE = "bad_signature"  # of a webhook
    FOREIGN_HOST = "foreign_host"
    ADMIN_COMMAND = "admin_command"  # about others' tasks
    KEY_ADDED = "key_added"
    KEY_CHANGED = "key_changed"
    KEY_REVOKED = "key_revoked"  # or gone from the file
    KEYS_UNREADABLE = "keys_unreadable"  # the file is gone or broken; the keys stay as they were


# As many as a stranger likes to cause.
_SAMPLED = {
    Event.CREDENTIAL_REFUSED,
    Event.ADDRESS_THROTTLED,
    Event.FORBIDDEN,
    Event.BAD_SIGNATURE,
    Event.FOREIGN_HOST,
}
_EXPECTED = {Event.ADMIN_COMMAND, Event.KEY_ADDED, Event.KEY_CHANGED, Event.KEY_REVOKED}
EVENTS = Counter(
    "tts_security_events_total", "Security events, by kind.", ["event"], registry=GATEWAY
)
for _event in Event:
    EVENTS.labels(_event.value)  # from the start, so that the first one is an increase


class Sample:
    """Which events of an address are written down: the first few in a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[Event, str], list[float]] = {}  # its end, and how many came

    def takes(self, event: Event, address: str) -> bool:
        """Whether this one is."""
        key = (event, address)
        if key not in self._windows and len(self._windows) >= ADDRESSES_MAX:
            key = (event, "others")
        window = self._windows.setdefault(key, [self._clock() + WINDOW_SECONDS, 0])
        window[1] += 1
        return window[1] <= RECORDS_A_WINDOW

    def over(self) -> list[tuple[Event, str, int]]:
        """The windows that are over: of what, from where, and how many were left out."""
        now = self._clock()
        over = [key for key, (end, _) in self._windows.items() if end <= now]
        counts = [(*key, int(self._windows.pop(key)[1]) - RECORDS_A_WINDOW) for key in over]
        return [(event, address, count) for event, address, count in counts if count > 0]


_sample = Sample()


def report(
    event: Event,
    *,
    reason: str,
    address: str = "",
    key_id: str = "",
    route: str = "",
    task: str = "",
) -> None:
    """Count it, and write it down unless there are too many of its kind from that address."""
    EVENTS.labels(event.value).inc()
    if event not in _SAMPLED or _sample.takes(event, address):
        fields = {"address": address, "key_id": key_id, "route": route, "task_id": task}
        _write(event, {name: value for name, value in fields.items() if value}, reason)


def sum_up() -> None:
    """Write down how many were left out; to be called now and then."""
    for event, address, count in _sample.over():
        more = {"address": address, "suppressed": count}
        _write(event, more, f"{count} more within {WINDOW_SECONDS:.0f} s were not written down")


def _write(event: Event, fields: dict[str, object], reason: str) -> None:
    level = logging.INFO if event in _EXPECTED else logging.WARNING
    record = {"event": event.value, "reason": reason, **fields}
    logger.log(level, "%s", event.value, extra=record)
