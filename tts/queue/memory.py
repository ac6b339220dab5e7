"""The queue of the embedded deployment: in this process, gone with it, rebuilt from the log."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from typing import Protocol

from tts.ports.queue import Destination, Message

DEAD_LETTERS_KEPT = 1000


class MemoryQueue:
    """Publisher and consumer in one; belongs to the event loop that uses it first.

    ``dead_letters`` holds the newest ones, for inspection; the log holds all failures.
    """

    def __init__(self) -> None:
        self.dead_letters: deque[Message] = deque(maxlen=DEAD_LETTERS_KEPT)
        # Retries stand first: the limit of each kind keeps them from starving the rest.
        self._ready: dict[Destination, deque[tuple[Message, bool]]] = {
            Destination.RETRY: deque(),
            Destination.WORK: deque(),
        }
        self._delayed: list[tuple[float, int, Message]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._marked = False

    async def publish(self, message: Message) -> None:
        """See :class:`tts.ports.queue.Publisher`; never unavailable."""
        if message.destination is Destination.DEAD_LETTER:
            self.dead_letters.append(message)
        elif message.delay > 0:
            due = asyncio.get_running_loop().time() + message.delay
            heapq.heappush(self._delayed, (due, next(self._numbers), message))
            self._release_due()
        else:
            self._ready[message.destination].append((message, False))
            self._changed.set()

    async def ready(self) -> dict[Destination, int]:
        """See :class:`tts.ports.queue.Publisher`."""
        return {
            **{kind: len(ready) for kind, ready in self._ready.items()},
            Destination.DEAD_LETTER: len(self.dead_letters),
        }

    async def marked(self) -> bool:
        """See :class:`tts.ports.queue.Publisher`; false in every new process."""
        return self._marked

    async def mark(self) -> None:
        """See :class:`tts.ports.queue.Publisher`."""
        self._marked = True

    @contextlib.asynccontextmanager
    async def deliveries(self, limit: int) -> AsyncIterator[AsyncIterator[MemoryDelivery]]:
        """See :class:`tts.ports.queue.Consumer`."""
        unsettled: dict[Destination, Held] = {kind: {} for kind in self._ready}
        try:
            yield self._take_forever(limit, unsettled)
        finally:
            for held in unsettled.values():
                for delivery in reversed(list(held)):
                    await delivery.release()

    async def aclose(self) -> None:
        """Forget the delayed messages' timer."""
        if self._timer is not None:
            self._timer.cancel()

    async def _take_forever(
        self, limit: int, unsettled: dict[Destination, Held]
    ) -> AsyncIterator[MemoryDelivery]:
        while True:
            for kind, ready in self._ready.items():
                if ready and len(unsettled[kind]) < limit:
                    message, redelivered = ready.popleft()
                    settle = partial(self._settle, unsettled[kind])
                    delivery = MemoryDelivery(message, redelivered=redelivered, settle=settle)
                    unsettled[kind][delivery] = None
                    yield delivery
                    break
            else:
                self._changed.clear()
                await self._changed.wait()

    def _release_due(self) -> None:
        """Make ready what is due, and come back when the next one is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._delayed and self._delayed[0][0] <= loop.time():
            _, _, message = heapq.heappop(self._delayed)
            self._ready[message.destination].append((message, False))
            self._changed.set()
        if self._delayed:
            self._timer = loop.call_at(self._delayed[0][0], self._release_due)

    def _settle(self, unsettled: Held, delivery: MemoryDelivery, *, back: bool) -> None:
        if delivery not in unsettled:
            return
        del unsettled[delivery]
        if back:
            self._ready[delivery.message.destination].appendleft((delivery.message, True))
        self._changed.set()


class MemoryDelivery:
    """See :class:`tts.ports.queue.Delivery`; settling it a second time does nothing."""

    def __init__(self, message: Message, *, redelivered: bool, settle: Settle) -> None:
        self.message = message
        self.redelivered = redelivered
        self._settle = settle

    async def ack(self) -> None:
        """Forget the message."""
        self._settle(self, back=False)

    async def release(self) -> None:
        """Put the message back to the head of its queue."""
        self._settle(self, back=True)


class Settle(Protocol):
    """How a delivery is settled."""

    def __call__(self, delivery: MemoryDelivery, *, back: bool) -> None:
        """Forget the message, or put it ``back``."""


Held = dict[MemoryDelivery, None]  # in the order of delivery
