"""Hosts that callbacks go to: one that does not answer must not hold up the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

AT_ONCE = 8  # callbacks under way to one host
PAUSE_SECONDS = 2.0  # after the first that got no answer; twice as long after each next one
PAUSE_MAX_SECONDS = 60.0


@dataclass(slots=True)
class _Silence:
    """How often in a row a host gave no answer, and until when it is left alone."""

    times: int = 0
    until: float = 0.0


class Hosts:
    """Who has how many callbacks under way, and who is left alone for a while."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._silent: dict[str, _Silence] = {}

    def closed(self, now: float) -> set[str]:
        """Those that can be sent nothing now."""
        return {host for host in self._under_way | self._silent if not self.takes(host, now)}

    def takes(self, host: str, now: float) -> bool:
        """Whether the host can be sent one more; a silent one is tried with one at a time."""
        silence = self._silent.get(host)
        if silence is None:
            return self._under_way[host] < AT_ONCE
        return now >= silence.until and not self._under_way[host]

    def next_open(self, now: float) -> float | None:
        """When the next silent one is tried again."""
        return min((s.until for s in self._silent.values() if s.until > now), default=None)

    def begin(self, host: str) -> None:
        """A callback is under way to the host."""
        self._under_way[host] += 1

    def end(self, host: str) -> None:
        """It is no longer under way."""
        self._under_way[host] -= 1
        if not self._under_way[host]:
            del self._under_way[host]

    def answered(self, host: str) -> None:
        """The host is there."""
        self._silent.pop(host, None)

    def silent(self, host: str, now: float) -> None:
        """The host gave no answer."""
        silence = self._silent.setdefault(host, _Silence())
        silence.times += 1
        pause = min(PAUSE_SECONDS * 2 ** (silence.times - 1), PAUSE_MAX_SECONDS)
        silence.until = now + pause
