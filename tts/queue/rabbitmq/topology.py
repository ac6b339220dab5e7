"""The queues' names and arguments; ``ops/rabbitmq/definitions.json`` declares the same.

An argument of a queue that exists cannot be changed: the broker refuses the declaration. What an
operator may want to tune (length and age of dead letters) is therefore left to policies.
"""

from __future__ import annotations

import math
from typing import Final

from tts.ports.queue import Destination

WORK: Final = "tts_task_queue"
RETRY: Final = "tts_retry_queue"
DEAD_LETTER: Final = "tts_dead_letter_queue"

QUEUES: Final = {
    Destination.WORK: WORK,
    Destination.RETRY: RETRY,
    Destination.DEAD_LETTER: DEAD_LETTER,
}

Arguments = dict[str, str | int]

DELIVERY_LIMIT: Final = "x-delivery-limit"

# A message that nobody can read is rejected, and one that comes back again and again (because it
# ends each processor that takes it) is given up; both then lie where people look. A message comes
# back when its processor or the connection ends, and after an outage of ten minutes. Its task is
# not lost with it: the relay notices, and orders anew.
_CONSUMED: Arguments = {
    "x-queue-type": "quorum",
    DELIVERY_LIMIT: 20,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_LETTER,
}

FIXED: Final[dict[str, Arguments]] = {
    WORK: _CONSUMED,
    RETRY: _CONSUMED,
    DEAD_LETTER: {"x-queue-type": "quorum"},
}


# What health publishes to: it holds the newest message, and nobody reads it.
PROBE: Final = "tts_health_queue"
_PROBED: Arguments = {"x-queue-type": "quorum", "x-max-length": 1}


def retry_room(delay: float) -> str:
    """The queue for a retry that is due after ``delay`` seconds, rounded up to milliseconds.

    All messages of one waiting room wait equally long: a queue expires messages at its head only,
    so that with mixed delays a short one would wait for the long one before it.
    """
    return f"{RETRY}.{math.ceil(delay * 1000)}" if delay > 0 else RETRY


def arguments(queue: str) -> Arguments:
    """What ``queue`` is declared with.

    A message leaves its waiting room only when the retry queue has confirmed it (at-least-once),
    and the broker grants that to queues with reject-publish alone.
    """
    if queue in FIXED:
        return FIXED[queue]
    if queue == PROBE:
        return _PROBED
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": int(queue.removeprefix(f"{RETRY}.")),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": RETRY,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
