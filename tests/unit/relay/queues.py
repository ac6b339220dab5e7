"""Fair queues in which somebody waits."""

from collections.abc import Iterator
from uuid import uuid4

from tts.relay.fair_queue import FairQueue, Round


def fill(*waiting: tuple[str, str, int]) -> tuple[FairQueue, dict[int, tuple[str, str]]]:
    """A queue with ``(owner, priority, how many)``, and whose round stands at each position."""
    queue, owners = FairQueue(), {}
    for owner, priority, number in waiting:
        for _ in range(number):
            position = len(owners)
            owners[position] = owner, priority
            queue.add(Round(uuid4(), position, version=1), owner=owner, priority=priority)
    return queue, owners


def order(queue: FairQueue) -> Iterator[int]:
    """The positions of those that wait, turn after turn, until nobody waits."""
    while queue:
        yield queue.pop().position
