"""How much one client gets: requests in a time, streams at a time. Each process counts its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from gateway.errors import TooManyRequests, TooManyStreams
from gateway.room import Room

CLIENTS_MAX = 10_000  # remembered; beyond that, those whose bucket is full again are forgotten
STREAM_RETRY_SECONDS = 10


class RateLimit:
    """A token bucket for each client: one second's requests at once, then ``per_second``.

    It is kept as the one number that a bucket amounts to, the time at which it is full again
    (known as GCRA).
    """

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def spend(self, client: str) -> None:
        """Count a request.

        Raises:
            TooManyRequests: it is one too many.
        """
        now = self._clock()
        full_at = max(self._full_at.get(client, now), now) + self._interval
        if (wait := full_at - now - 1.0) > 1e-9:  # noqa: PLR2004 -- for the rounding
            raise TooManyRequests("too many requests", retry_after=wait)
        if client not in self._full_at and len(self._full_at) >= CLIENTS_MAX:
            self._full_at = {who: at for who, at in self._full_at.items() if at > now}
        self._full_at[client] = full_at


class Places:
    """Streams that may be open: of one key, of one address, and of all."""

    def __init__(self, room: Room, *, per_key: int, per_address: int) -> None:
        self._room = room
        self._per_key = per_key
        self._per_address = per_address
        self._of_key: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()

    def take(self, key_id: str, address: str) -> None:
        """Take a place, to be given back with :meth:`leave`; ``key_id`` is empty for no key.

        Raises:
            TooManyStreams: none is left.
            NoRoom: none is left for anybody.
        """
        full = self._of_address[address] >= self._per_address
        if full or (key_id and self._of_key[key_id] >= self._per_key):
            raise TooManyStreams("too many streams are open", retry_after=STREAM_RETRY_SECONDS)
        self._room.take_stream()
        self._of_key[key_id] += 1
        self._of_address[address] += 1

    def change(self, key_id: str, other: str) -> None:
        """Make a key's place another key's.

        Raises:
            TooManyStreams: that one has none left.
        """
        if key_id != other:
            if other and self._of_key[other] >= self._per_key:
                raise TooManyStreams("too many streams are open", retry_after=STREAM_RETRY_SECONDS)
            self._of_key[other] += 1
            self._give_back(self._of_key, key_id)

    def leave(self, key_id: str, address: str) -> None:
        """Give a place back."""
        self._room.leave_stream()
        self._give_back(self._of_key, key_id)
        self._give_back(self._of_address, address)

    def _give_back(self, counts: Counter[str], who: str) -> None:
        counts[who] -= 1
        if not counts[who]:
            del counts[who]
