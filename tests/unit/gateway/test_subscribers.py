"""What is due to a stream, whatever happens to it before its turn comes."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import pytest

from gateway.streams.subscribers import Subscribers
from tts.domain.task import Task
from tts.ports.log import Recorded

A, B = UUID(int=1), UUID(int=2)
OWNERS = {A: "ann", B: "bob"}


def event(position: int, task_id: UUID) -> Recorded:
    """One of a task."""
    return Recorded(position, task_id, position, Task.Queued.TOPIC, b"{}")


class Stream:
    """One that remembers what it was sent."""

    ends = float("inf")

    def __init__(self, tasks: Iterable[UUID] | None = None, scope: str | None = None) -> None:
        self.tasks = None if tasks is None else frozenset(tasks)
        self.scope = scope
        self.got: list[bytes] = []
        self.send = self.got.append

    def refusal(self) -> str:
        """Never."""
        return ""

    def expel(self, reason: str) -> None:
        """Never."""

    def beat(self, frame: bytes) -> None:
        """Never."""

    def finish(self, seconds: float) -> None:
        """Never."""

    def abort(self) -> None:
        """Never."""


@pytest.fixture
def streams() -> Subscribers:
    """Frames are positions."""
    return Subscribers(lambda event: b"%d." % event.position, lambda _: b"")


def add(streams: Subscribers, *several: Stream) -> None:
    """Let them in."""
    for stream in several:
        streams.add(stream)


def test_each_gets_its_own_in_order_whoever_comes_first(streams: Subscribers):
    """By task, by owner and everything, also where two lots are due at once."""
    everyone, of_ann, of_b, of_both = Stream(), Stream(scope="ann"), Stream([B]), Stream([A, B])
    add(streams, everyone, of_ann, of_b, of_both)
    streams.prepare([event(1, A), event(2, B)], OWNERS)
    streams.prepare([event(3, A)], OWNERS)
    while streams.send_due(1):
        pass
    got = [b"".join(stream.got) for stream in (everyone, of_ann, of_b, of_both)]
    assert got == [b"1.2.3.", b"1.3.", b"2.", b"1.2.3."]


def test_some_are_served_at_a_time(streams: Subscribers):
    """So many writes, and no more."""
    several = [Stream() for _ in range(5)]
    add(streams, *several)
    streams.prepare([event(1, A)], OWNERS)
    served = []
    more = True
    while more:
        more = streams.send_due(2)
        served.append(sum(len(stream.got) for stream in several))
    assert served == [2, 4, 5]


def test_who_comes_later_gets_what_comes_later(streams: Subscribers):
    """What is due already is in the history that it reads."""
    add(streams, Stream())
    streams.prepare([event(1, A)], OWNERS)
    late = Stream()
    add(streams, late)
    streams.send_due(9)
    assert not late.got


def test_who_changes_its_mind_gets_what_was_due_before(streams: Subscribers):
    """And nothing of it again."""
    stream, other = Stream([A]), Stream([A])
    add(streams, stream, other)
    streams.prepare([event(1, A)], OWNERS)
    streams.change(stream, frozenset([B]))
    assert stream.got == [b"1."]
    streams.send_due(9)
    assert (stream.got, other.got) == ([b"1."], [b"1."])


def test_who_leaves_gets_nothing_more(streams: Subscribers):
    """Also where it leaves while others are served."""
    several = [Stream() for _ in range(3)]
    add(streams, *several)
    for stream in several:
        stream.send = lambda frame, got=stream.got: (got.append(frame), leave())  # type: ignore[misc]

    def leave() -> None:
        for stream in several:
            if stream in streams and not stream.got:
                streams.discard(stream)

    streams.prepare([event(1, A)], OWNERS)
    assert not streams.send_due(9)
    assert sum(len(stream.got) for stream in several) == 1


def test_who_is_settled_has_everything(streams: Subscribers):
    """So a heartbeat may say how far it has come."""
    stream = Stream([A])
    add(streams, stream)
    streams.prepare([event(1, A), event(2, A)], OWNERS)
    streams.settle(stream)
    assert stream.got == [b"1.", b"2."]
    assert not streams.send_due(9)
    assert stream.got == [b"1.", b"2."]
