"""The open streams, found by what they are about, so that an event costs only its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol
from uuid import UUID

from gateway.metrics import FRAMES, OPEN_STREAMS
from tts.ports import Recorded


class Subscriber(Protocol):
    """A stream; ``tasks`` says what it is about, empty for everything."""

    tasks: frozenset[UUID]
    send: Callable[[bytes], None]

    def finish(self, frame: bytes) -> None:
        """Send a last frame and close once the reader has it."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Subscribers:
    """A set of streams, indexed by task. A stream must not leave it while something is sent."""

    def __init__(self) -> None:
        self._all: set[Subscriber] = set()
        self._of_everything: set[Subscriber] = set()
        self._of_task: dict[UUID, set[Subscriber]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(tuple(self._all))

    def __contains__(self, stream: Subscriber) -> bool:
        return stream in self._all

    def add(self, stream: Subscriber) -> None:
        """Put it in."""
        self._all.add(stream)
        if not stream.tasks:
            self._of_everything.add(stream)
        for task_id in stream.tasks:
            self._of_task.setdefault(task_id, set()).add(stream)
        OPEN_STREAMS.inc()

    def discard(self, stream: Subscriber) -> None:
        """Take it out."""
        self._all.remove(stream)
        self._of_everything.discard(stream)
        for task_id in stream.tasks:
            self._of_task[task_id].remove(stream)
            if not self._of_task[task_id]:
                del self._of_task[task_id]
        OPEN_STREAMS.dec()

    def hand_out(self, events: list[Recorded], frame_of: Callable[[Recorded], bytes]) -> None:
        """Send each event to whom it concerns, encoded once, and not at all if nobody cares."""
        everyone = self._of_everything
        for_everyone = []
        sent = 0
        for event in events:
            wanted = self._of_task.get(event.task_id, ())
            if wanted or everyone:
                frame = frame_of(event)
                for stream in wanted:
                    stream.send(frame)
                sent += len(wanted)
                for_everyone.append(frame)
        if everyone:
            together = b"".join(for_everyone)
            for stream in everyone:
                stream.send(together)
            sent += len(everyone) * len(for_everyone)
        FRAMES.inc(sent)
