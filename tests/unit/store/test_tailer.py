"""What a follower takes from the news, and when it reads the log instead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.waiting import until
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded
from tts.store import tailer
from tts.store.tailer import TOLD_MAX, Bell, News, Stretch, follow


def events(*positions: int, topic: str = "queued") -> list[Recorded]:
    return [Recorded(position, UUID(int=0), 1, topic, b"{}") for position in positions]


class Log:
    """Counts how often it is read; ``bell`` tells of it."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.reads = 0
        self.asked = 0
        self.is_away = False
        self.bell = Bell()
        self.seen: list[int] = []

    def append(self, *positions: int) -> list[Recorded]:
        """Without a word."""
        self.events += events(*positions)
        return events(*positions)

    async def read(self, after: int, limit: int, topics: object) -> Stretch:
        """As a store does."""
        del topics
        self.reads += 1
        found = [event for event in self.events if event.position > after][:limit]
        return Stretch.of(found, limit, self.events[-1].position if self.events else 0)

    async def position(self, seen: int) -> int:
        """How far it has come."""
        del seen
        self.asked += 1
        if self.is_away:
            raise Unavailable("away")
        return self.events[-1].position if self.events else 0

    async def _follow(self) -> None:
        async for batch in follow(self.read, self.position, self.bell, 0, 500, ()):
            self.seen += [event.position for event in batch]

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Somebody follows it, who has read what is there: nothing."""
        following = asyncio.create_task(self._follow())
        try:
            await until(lambda: self.reads, "it has looked")
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])


@pytest.fixture
async def log(monkeypatch):
    """It is read when there is a reason."""
    monkeypatch.setattr(tailer, "SAFETY_POLL_SECONDS", 3600)
    log = Log()
    async with log.followed():
        yield log


async def test_what_was_told_is_not_read(log):
    """One after the other, also several at once."""
    for position in range(1, 20):
        log.bell.tell(position - 1, log.append(position))
        if position % 3 == 0:
            await until(lambda n=position: log.seen[-1:] == [n], "it is seen")
    await until(lambda: log.seen == list(range(1, 20)), "all are seen")
    assert log.reads == 1


async def test_what_nobody_told_of_is_read(log):
    """Somebody else's events stand between, of which the news may come later, or not at all."""
    log.bell.tell(0, log.append(1))
    theirs = log.append(2)
    log.bell.tell(2, log.append(3))
    await until(lambda: log.seen == [1, 2, 3], "all are seen")
    log.bell.tell(1, theirs)
    log.bell.tell(3, log.append(4))
    await until(lambda: log.seen == [1, 2, 3, 4], "the next one is seen, and no other again")


async def test_news_from_behind_a_loss_is_not_taken_by_who_saw_what_is_lost(log):
    """The log ended at 1 and began anew at 1000: who has seen 3 has to hear of the loss."""
    log.bell.tell(0, log.append(1, 2, 3))
    await until(lambda: log.seen == [1, 2, 3], "all are seen")
    before = log.reads
    log.bell.tell(1, events(1000))
    await until(lambda: log.reads > before, "the log is read")
    assert log.seen == [1, 2, 3]


async def test_a_mere_hint_has_the_log_read(log):
    """Also one that comes together with news."""
    log.append(1)
    log.bell.kick()
    log.bell.tell(1, log.append(2))
    await until(lambda: log.seen == [1, 2], "both are seen")
    assert log.reads == 2


async def test_somebody_asks_now_and_then_whether_all_was_told(monkeypatch):
    """One for all followers of the process; only who misses something reads."""
    monkeypatch.setattr(tailer, "SAFETY_POLL_SECONDS", 0)
    log = Log()
    async with log.followed(), log.followed():
        await until(lambda: log.reads == 2, "both have looked")
        log.bell.tell(0, log.append(1))
        await until(lambda: log.seen == [1, 1], "both are told")
        reads, asked = log.reads, log.asked
        await until(lambda: log.asked > asked + 10, "it is asked again and again")
        assert log.reads == reads
        log.append(2)
        await until(lambda: log.seen == [1, 1, 2, 2], "nobody said so, and both have seen it")
    asked = log.asked
    await asyncio.sleep(0.01)
    assert log.asked == asked


async def test_who_follows_a_log_that_is_away_finds_out(monkeypatch):
    """And says so, as nobody else does."""
    monkeypatch.setattr(tailer, "SAFETY_POLL_SECONDS", 0)
    log = Log()
    async with log.followed():
        log.is_away, before = True, log.reads
        await until(lambda: log.reads > before, "it is read")


def test_who_is_far_behind_is_told_no_more():
    """What waits to be taken is bounded; then it is read."""
    news = News(())
    for position in range(1, TOLD_MAX + 2):
        news.tell(position - 1, events(position))
    assert news.take(0) is None
    news.tell(TOLD_MAX + 1, events(TOLD_MAX + 2))
    assert news.take(TOLD_MAX + 1) == Stretch(events(TOLD_MAX + 2), TOLD_MAX + 2)


def test_who_follows_some_topics_gets_those_and_comes_as_far():
    """News of others alone does not even wake it."""
    bell = Bell()
    with bell.listener(["failed"]) as news:
        bell.tell(0, events(1))
        assert not news.woken.is_set()
        bell.tell(1, [*events(2), *events(3, topic="failed"), *events(4)])
        assert news.woken.is_set()
        assert news.take(1) == Stretch(events(3, topic="failed"), 4)


def test_what_concerns_nobody_is_no_reason_to_read():
    """However many events of other topics come, who takes what is told comes as far."""
    news = News(["failed"])
    for position in range(1, TOLD_MAX + 5):
        news.tell(position - 1, events(position))
    assert not news.woken.is_set()
    assert news.end == TOLD_MAX + 4
    news.tell(TOLD_MAX + 4, events(TOLD_MAX + 5, topic="failed"))
    assert news.take(0) == Stretch(events(TOLD_MAX + 5, topic="failed"), TOLD_MAX + 5)


def test_a_gap_is_a_reason_to_read_whatever_was_told():
    """What lies in it may concern the follower."""
    news = News(["failed"])
    news.tell(0, events(1))
    news.tell(2, events(3))
    assert news.woken.is_set()
    assert news.take(0) is None


def test_who_listens_no_more_is_told_nothing():
    """Nothing piles up."""
    bell = Bell()
    with bell.listener(()) as news:
        pass
    bell.tell(0, events(1))
    assert not bell
    assert news.take(0) is None
