"""What goes wrong, and when: drawn from a seed, so that a bad run can be had again."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

ROUND_SECONDS = 45.0
KINDS = ("gateway", "relay", "processor", "projector")
SERVERS = ("rabbitmq stop", "rabbitmq wipe", "postgres restart", "postgres crash", "s3 stop")
FAULTS_A_ROUND = 14

# Route, fault, arguments, probability. What Replicate and the template host do to us.
FAULTS: list[tuple[str, str, dict[str, Any], float]] = [
    ("create", "reset_after", {}, 0.5),
    ("create", "reset_before", {}, 0.5),
    ("create", "status", {"status": 500}, 0.5),
    ("create", "status", {"status": 503}, 0.5),
    ("create", "status", {"status": 429, "retry_after": 1}, 1.0),
    ("create", "status", {"status": 429}, 0.7),
    ("create", "status", {"status": 402}, 1.0),
    ("create", "status", {"status": 401}, 1.0),
    ("create", "hang_after", {"seconds": 3}, 0.3),
    ("create", "hang_before", {"seconds": 3}, 0.3),
    ("create", "malformed", {}, 0.3),
    ("create", "html", {}, 0.3),
    ("get", "status", {"status": 500}, 0.5),
    ("get", "status", {"status": 429, "retry_after": 1}, 0.5),
    ("get", "status", {"status": 404}, 0.05),
    ("get", "hang_before", {"seconds": 2}, 0.2),
    ("list", "status", {"status": 500}, 0.5),
    ("list", "hang_before", {"seconds": 2}, 0.5),
    ("cancel", "status", {"status": 500}, 0.5),
    ("delivery", "status", {"status": 503}, 0.5),
    ("delivery", "truncated", {}, 0.5),
    ("delivery", "reset_before", {}, 0.5),
    ("prediction", "failed", {}, 0.3),
    ("prediction", "failed", {"error": "Director: unexpected error (E9828)"}, 0.3),
    ("prediction", "failed", {"error": "assertion failed in the model"}, 0.1),
    ("prediction", "canceled", {}, 0.2),
    ("prediction", "aborted", {}, 0.2),
    ("prediction", "output_null", {}, 0.1),
    ("prediction", "data_removed", {}, 0.1),
    ("prediction", "output_list", {}, 0.5),
    ("prediction", "output_data_uri", {}, 0.5),
    ("prediction", "slow", {"predict_seconds": 3}, 0.3),
    ("template_audio", "status", {"status": 503}, 0.7),
    ("template_transcript", "status", {"status": 503}, 0.7),
    ("template_transcript", "reset_before", {}, 0.7),
    ("template_transcript", "hang_before", {"seconds": 20}, 0.3),
]


@dataclass(frozen=True)
class Trouble:
    """Something that begins ``at`` and lasts ``seconds``; ``rule`` is the sandbox's, if it is."""

    at: float
    what: str
    seconds: float
    rule: dict[str, Any] = field(default_factory=dict)


def draw(random: Random, seconds: float, each: int) -> list[Trouble]:
    """The troubles of a run over ``each`` processes of every kind, in order.

    Every round has each kill and each server's outage once, so that a short run misses none.
    """
    troubles: list[Trouble] = []
    begin = 0.0
    while begin < seconds:
        length = min(ROUND_SECONDS, seconds - begin)
        deck = [("kill", f"{kind}-{n}") for kind in KINDS for n in range(1, each + 1)]
        deck += [("server", server) for server in SERVERS]
        deck += [("fault", "")] * FAULTS_A_ROUND
        random.shuffle(deck)
        for n, (group, what) in enumerate(deck):
            at = begin + (n + random.random()) * length / len(deck)
            troubles.append(_trouble(random, group, what, at))
        begin += length
    return sorted(troubles, key=lambda trouble: trouble.at)


def _trouble(random: Random, group: str, what: str, at: float) -> Trouble:
    if group == "kill":
        return Trouble(at, f"kill {what}", random.choice([0.0, random.uniform(0.0, 3.0)]))
    if group == "server":
        return Trouble(at, what, random.uniform(0.0, 4.0))
    route, fault, args, probability = random.choice(FAULTS)
    rule = {"route": route, "fault": fault, "args": args, "probability": probability}
    rule["seed"] = random.randrange(2**30)
    return Trouble(at, "fault", random.uniform(1.0, 5.0), rule)
