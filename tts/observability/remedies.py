"""What it means that a part is missing or that something is away, and what an operator does.

The runbook has the same table; a test holds them against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tts.wire import PartName, TroubleCode


@dataclass(frozen=True, slots=True)
class Remedy:
    """What happens ``meanwhile``, and what to do."""

    meanwhile: str
    action: str


_LOCK = "Nothing for ten seconds: a dead leader's lock ends by itself. Then look at its log."

REMEDIES: Mapping[tuple[TroubleCode, str], Remedy] = {
    ("no_part", "gateway"): Remedy(
        "Nothing is accepted; what was accepted is worked on.", "Start one: tts gateway"
    ),
    ("no_part", "relay"): Remedy("Accepted texts wait as `starting`.", "Start one: tts relay"),
    ("no_part", "processor"): Remedy(
        "Texts wait as `queued`; nothing is lost or paid for twice.", "Start one: tts processor"
    ),
    ("no_part", "projector"): Remedy(
        "Lists, counts and usage stand still; streams, tasks and audio do not.",
        "Start one: tts projector",
    ),
    ("no_leader", "relay"): Remedy("Accepted texts wait as `starting`.", _LOCK),
    ("no_leader", "projector"): Remedy("Lists, counts and usage stand still.", _LOCK),
    ("need_away", "queue"): Remedy(
        "Texts are accepted and wait in the log; they go on when it is back.",
        "Start RabbitMQ, or see in the process's log why RABBITMQ_URL does not lead to it.",
    ),
    ("need_away", "audio"): Remedy(
        "Finished audio is kept in DATA_DIR/work, and nothing new is paid for.",
        "Mend it; tasks go on by themselves. The processor's log says what it answers.",
    ),
    ("need_away", "workplace"): Remedy(
        "Long texts cannot be put together.", "Make room in DATA_DIR/work, or let it be written."
    ),
    ("need_away", "store"): Remedy(
        "Its process does nothing; the others go on.",
        "See in its log why EVENT_STORE_URL does not lead to the database.",
    ),
    ("need_away", "projector"): Remedy(
        "A list stands still before an event that it cannot apply.",
        "Update the projector; its log names the event.",
    ),
    ("behind", "relay"): Remedy(
        "Accepted texts wait longer than they have to.",
        "Look at its log, RabbitMQ and the database.",
    ),
    ("behind", "projector"): Remedy(
        "Lists, counts and usage are older than what streams tell.",
        "Nothing while it catches up; if it grows, look at its log and the database.",
    ),
}

_UNKNOWN = Remedy("What needs it waits.", "See in the process's log what is wrong with it.")


def remedy(code: TroubleCode, subject: PartName | str) -> Remedy:
    """The row; one for all needs that nobody has described."""
    return REMEDIES.get((code, subject), _UNKNOWN)
