"""Subscribers of which a sample is watched closely; the rest is emptied now and then.

To read a thousand streams at every event would take a whole core, and be most of what is measured.
The kernel takes the bytes in as promptly for those that are read late.
"""

from __future__ import annotations

import json
import select
import sys
import time
from itertools import cycle, islice

from tests.bench.subscribers import MARK, READ_BYTES, open_stream

SAMPLE_EVERY = 50
EMPTIED_AT_ONCE = 10
LOOK_SECONDS = 0.001
SECONDS = 60


def listen(port: int, path: str, count: int, events: int) -> list[list[float]]:
    """Open ``count`` streams, say ``ready``, and return when each has brought ``events``.

    The result has the monotonic times of the arrivals on each stream of the sample.
    """
    buffer = bytearray(READ_BYTES)
    view = memoryview(buffer)
    streams = [open_stream(port, path) for _ in range(count)]
    for stream in streams:
        stream.setblocking(True)  # noqa: FBT003 -- as the library has it
        stream.recv_into(view)  # the head: the stream has begun
        stream.setblocking(False)  # noqa: FBT003 -- as the library has it
    print("ready", flush=True)  # noqa: T201
    sample = {stream.fileno(): stream for stream in streams[::SAMPLE_EVERY]}
    arrivals: dict[int, list[float]] = {number: [] for number in sample}
    poll = select.epoll()
    for number in sample:
        poll.register(number, select.EPOLLIN)
    others = [stream for stream in streams if stream.fileno() not in sample]
    missing = len(others) * events
    deadline = time.monotonic() + SECONDS
    turns = cycle(others)
    while missing or any(len(times) < events for times in arrivals.values()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{missing} events did not come")
        for number, _ in poll.poll(LOOK_SECONDS):
            size = sample[number].recv_into(view)
            arrivals[number] += [time.monotonic()] * buffer.count(MARK, 0, size)
        for stream in islice(turns, EMPTIED_AT_ONCE):
            try:
                size = stream.recv_into(view)
            except BlockingIOError:
                continue
            missing -= buffer.count(MARK, 0, size)
    return list(arrivals.values())


if __name__ == "__main__":
    print(json.dumps(listen(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))  # noqa: T201
