"""Following the log: news is a hint, the positions are the truth.

Most news tells the events themselves. A follower takes those that stand right behind what it has;
whenever anything is missing or unclear, it reads the log. Once in a while somebody asks, for all
followers of the process, how far the log has come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple, Self

from tts.patience import Outage
from tts.ports.log import Recorded

SAFETY_POLL_SECONDS = 1.0  # news can be lost; the log is asked this often all the same
TOLD_MAX = 500  # events: who is further behind reads them


class Stretch(NamedTuple):
    """What a read has found, and up to which position nothing more is to be found."""

    events: list[Recorded]
    end: int

    @classmethod
    def of(cls, events: list[Recorded], limit: int, newest: int) -> Self:
        """A read of up to ``limit`` events, made when the log had come to ``newest`` or further.

        Positions become visible in their order: behind what was found, nothing can appear that
        is not behind ``newest`` as well.
        """
        last = events[-1].position if events else 0
        return cls(events, last if len(events) == limit else max(last, newest))


class Told(NamedTuple):
    """What stands between two positions, as far as it concerns the follower."""

    before: int
    end: int
    events: list[Recorded]


class News:
    """What one follower has been told since it last looked; ``topics`` are those it follows.

    ``seen`` is how far it has come by itself.
    """

    def __init__(self, topics: Collection[str]) -> None:
        self.woken = asyncio.Event()
        self.seen = 0
        self._topics = frozenset(topics)
        self._told: list[Told] = []
        self._size = 0
        self._is_vague = False  # there may be more than what was told

    @property
    def end(self) -> int:
        """How far the follower has come, or will when it takes what it was told."""
        end = self.seen
        for each in self._told:
            if each.before == end:
                end = each.end
        return end

    def concerns(self, topics: Collection[str]) -> bool:
        """Whether a kick for those, or for none in particular, is for this follower."""
        return not (topics and self._topics) or not self._topics.isdisjoint(topics)

    def kick(self) -> None:
        """There may be something new."""
        self._told, self._size, self._is_vague = [], 0, True
        self.woken.set()

    def tell(self, before: int, events: list[Recorded]) -> None:
        """There is something new: these events, right behind the position ``before``.

        Those of other topics wake nobody, and are nothing that has to be read.
        """
        if self._is_vague:
            return
        found = [e for e in events if not self._topics or e.topic in self._topics]
        self._size += len(found)
        if self._size > TOLD_MAX or (self._told and self._told[-1].end != before):
            self.kick()
            return
        end = events[-1].position
        if self._told and not (found or self._told[-1].events):
            self._told[-1] = self._told[-1]._replace(end=end)
        else:
            self._told.append(Told(before, end, found))
        if found:
            self.woken.set()

    def take(self, after: int) -> Stretch | None:
        """What follows right behind the position, None if that has to be read."""
        told, is_vague = self._told, self._is_vague
        self._told, self._size, self._is_vague = [], 0, False
        if is_vague or not told:
            return None
        end, found = after, list[Recorded]()
        for each in told:
            if each.end <= after:
                continue  # it was in the last read
            if each.before != end:
                return None
            found += each.events
            end = each.end
        return Stretch(found, end)


class Bell:
    """Tells the followers of the log in this process that there is, or may be, something new."""

    def __init__(self) -> None:
        self._news: set[News] = set()
        self._watching: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._news)

    def kick(self, *topics: str) -> None:
        """Wake who follows one of the topics, or everyone; call it on the event loop."""
        for news in self._news:
            if news.concerns(topics):
                news.kick()

    def tell(self, before: int, events: list[Recorded]) -> None:
        """These events stand right behind the position ``before``; call it on the event loop."""
        for news in self._news:
            news.tell(before, events)

    @contextlib.contextmanager
    def listener(self, topics: Collection[str]) -> Iterator[News]:
        """The news for who follows the topics, or all for none."""
        news = News(topics)
        self._news.add(news)
        try:
            yield news
        finally:
            self._news.discard(news)

    @contextlib.contextmanager
    def watch(self, position: Callable[[int], Awaitable[int]]) -> Iterator[None]:
        """Somebody looks after all listeners, as long as there are any."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._look(position))
        try:
            yield
        finally:
            if not self._news:
                self._watching.cancel()
                self._watching = None

    async def _look(self, position: Callable[[int], Awaitable[int]]) -> None:
        """Have those read the log who do not know how far it has come."""
        while True:
            await asyncio.sleep(SAFETY_POLL_SECONDS)
            ends = {news: news.end for news in self._news}
            try:
                newest = await position(0)
            except Exception:  # noqa: BLE001 -- they find out by themselves, and say so
                self.kick()
                continue
            for news, before in ends.items():
                if not before <= newest <= news.end:
                    news.kick()


async def follow(
    read: Callable[[int, int, Collection[str]], Awaitable[Stretch]],
    position: Callable[[int], Awaitable[int]],
    bell: Bell,
    after: int,
    batch: int,
    topics: Collection[str],
) -> AsyncIterator[list[Recorded]]:
    """Yield every event of the topics after the position ``after`` once, in order, for ever.

    Outages of the store are waited out: the next read starts where the last one ended, whether or
    not there was an event to yield. A log that ends before that is told so by the ``position``; one
    that has gone on since is noticed by the read.
    """
    outage = Outage("The log cannot be read")
    with bell.watch(position), bell.listener(topics) as news:
        news.kick()
        while True:
            # Cleared before the look: what commits during it sets it again.
            news.woken.clear()
            stretch = news.take(after)
            if stretch is None:
                stretch = await outage.wait_out(partial(read, after, batch, topics))
            if stretch.end < after:
                await outage.wait_out(partial(position, after))
                news.kick()
                continue
            after = news.seen = stretch.end
            if stretch.events:
                yield stretch.events
            if len(stretch.events) == batch:
                news.kick()  # there may be more
            await news.woken.wait()
