"""The open streams, found by what they are about, so that an event costs only its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from gateway.metrics import FRAMES, OPEN_STREAMS
from tts.ports.log import Recorded

K = TypeVar("K")


class Coding(NamedTuple):
    """How frames stand in a body: ``wrap`` those that go out together, and ``end`` ends it all."""

    wrap: Callable[[bytes], bytes]
    end: bytes


def _chunk(frames: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(frames), frames)


PLAIN = Coding(bytes, b"")
CHUNKED = Coding(_chunk, b"0\r\n\r\n")


class Subscriber(Protocol):
    """A stream; ``tasks`` says what it is about, None for everything of the owner ``scope``.

    A ``scope`` of None means everybody's.
    """

    tasks: frozenset[UUID] | None
    scope: str | None
    send: Callable[[bytes], None]

    @property
    def ends(self) -> float:
        """When its credential ends, in seconds since 1970."""
        ...

    def refusal(self) -> str:
        """Why its credential is good no more; empty if it is."""
        ...

    def expel(self, reason: str) -> None:
        """Close because of that; the reader has to come with another credential."""
        ...

    def beat(self, frame: bytes) -> None:
        """Send a sign of life, and look whether the reader gave one."""
        ...

    def finish(self, seconds: float) -> None:
        """Tell the reader to come back after that time, and close once it knows."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Subscribers:
    """Streams of one kind, indexed by task.

    What each is to have of some events is *due* until it is sent, to some streams after the other.
    ``frame_of`` makes an event and ``heartbeat_at`` a position into a frame as these streams have
    it, and their ``coding`` into bytes as they carry it.
    """

    def __init__(
        self,
        frame_of: Callable[[Recorded], bytes],
        heartbeat_at: Callable[[int], bytes],
        coding: Coding = PLAIN,
    ) -> None:
        self.coding = coding
        self._frame_of = frame_of
        self._heartbeat_at = heartbeat_at
        self._due: deque[tuple[set[Subscriber], bytes]] = deque()  # to whom what is still to go
        self._all: set[Subscriber] = set()
        self._of_everything: set[Subscriber] = set()
        self._of_owner: dict[str, set[Subscriber]] = {}
        self._of_task: dict[UUID, set[Subscriber]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(tuple(self._all))

    def __contains__(self, stream: Subscriber) -> bool:
        return stream in self._all

    def heartbeat(self, position: int) -> bytes:
        """A sign of life as it goes out."""
        return self.coding.wrap(self._heartbeat_at(position))

    def add(self, stream: Subscriber) -> None:
        """Put it in."""
        self._all.add(stream)
        self._index(stream)
        OPEN_STREAMS.inc()

    def discard(self, stream: Subscriber) -> None:
        """Take it out."""
        self._all.remove(stream)
        for waiting, _ in self._due:
            waiting.discard(stream)
        self._forget(stream)
        OPEN_STREAMS.dec()

    def change(self, stream: Subscriber, tasks: frozenset[UUID] | None) -> None:
        """From now on it is about ``tasks``."""
        self.settle(stream)
        self._forget(stream)
        stream.tasks = tasks
        self._index(stream)

    def _index(self, stream: Subscriber) -> None:
        if stream.tasks is None and stream.scope is None:
            self._of_everything.add(stream)
        elif stream.tasks is None and stream.scope is not None:
            self._of_owner.setdefault(stream.scope, set()).add(stream)
        for task_id in stream.tasks or ():
            self._of_task.setdefault(task_id, set()).add(stream)

    def _forget(self, stream: Subscriber) -> None:
        self._of_everything.discard(stream)
        if stream.tasks is None and stream.scope is not None:
            _remove(self._of_owner, stream.scope, stream)
        for task_id in stream.tasks or ():
            _remove(self._of_task, task_id, stream)

    def prepare(self, events: list[Recorded], owners: Mapping[UUID, str]) -> None:
        """Make each event due to whom it concerns, encoded once, and not at all if nobody cares.

        ``owners`` tells whose each task is; it may be empty while nobody's streams are ``owned``.
        """
        everyone = self._of_everything
        for_everyone = []
        for_owner: dict[str, list[bytes]] = {}
        for event in events:
            subscribers: Collection[Subscriber] = self._of_task.get(event.task_id, ())
            owner = owners[event.task_id] if owners else None
            if subscribers or everyone or owner in self._of_owner:
                frame = self._frame_of(event)
                self._owe(subscribers, [frame])
                for_everyone.append(frame)
                if owner in self._of_owner:
                    for_owner.setdefault(owner, []).append(frame)
        self._owe(everyone, for_everyone)
        for owner, frames in for_owner.items():
            self._owe(self._of_owner[owner], frames)

    def send_due(self, streams: int) -> bool:
        """Send so many streams what is due to them; whether there are more."""
        due = self._due
        while due and streams:
            waiting, frames = due[0]
            while waiting and streams:
                waiting.pop().send(frames)
                streams -= 1
            if not waiting:
                due.popleft()
        return bool(due)

    def settle(self, stream: Subscriber) -> None:
        """Send a stream what is due to it: now it has everything up to the hub's position."""
        for waiting, frames in self._due:
            if stream in waiting:
                waiting.discard(stream)
                stream.send(frames)

    def concerned(self, event: Recorded, owners: Mapping[UUID, str]) -> set[Subscriber]:
        """Those whom the event would be sent to; ``owners`` as for :meth:`prepare`."""
        owner = owners.get(event.task_id, "")
        return {
            *self._of_everything,
            *self._of_task.get(event.task_id, ()),
            *self._of_owner.get(owner, ()),
        }

    def _owe(self, streams: Collection[Subscriber], frames: list[bytes]) -> None:
        """One write a stream, which is most of what an event costs."""
        if streams and frames:
            self._due.append((set(streams), self.coding.wrap(b"".join(frames))))
            FRAMES.inc(len(streams) * len(frames))


def _remove(index: dict[K, set[Subscriber]], key: K, stream: Subscriber) -> None:
    index[key].remove(stream)
    if not index[key]:
        del index[key]
