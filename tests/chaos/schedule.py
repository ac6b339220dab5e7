"""What goes wrong, and when: drawn from a seed, so that a bad run can be had again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

KINDS = ("gateway", "relay", "processor", "projector")
FAULTS_A_ROUND = 14
STEPS_SECONDS = (-3600.0, -20.0, 20.0, 600.0, 7200.0)  # by which a machine's clock jumps

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
    ("create", "hang_after", {"seconds": 8}, 0.3),
    ("create", "hang_before", {"seconds": 8}, 0.3),
    ("create", "malformed", {}, 0.3),
    ("create", "html", {}, 0.3),
    ("get", "status", {"status": 500}, 0.5),
    ("get", "status", {"status": 429, "retry_after": 1}, 0.5),
    ("get", "status", {"status": 404}, 0.05),
    ("get", "hang_before", {"seconds": 8}, 0.2),
    ("list", "status", {"status": 500}, 0.5),
    ("list", "hang_before", {"seconds": 8}, 0.5),
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


def draw(
    random: Random,
    seconds: float,
    machines: int,
    servers: Mapping[str, float],
    *,
    every: float,
    freeze: float,
    clocks: bool,
) -> list[Trouble]:
    """The troubles of a run in which each of the machines has one process of every kind, in order.

    Every round of ``every`` seconds has each kill once and what happens to ``servers``, each for at
    most so many seconds, and one process is frozen for up to ``freeze`` seconds. So a short run
    misses none. With ``clocks`` the clock of one machine is wrong for a while.
    """
    troubles: list[Trouble] = []
    begin = 0.0
    while begin < seconds:
        length = min(every, seconds - begin)
        processes = [f"{kind}-{n}" for kind in KINDS for n in range(1, machines + 1)]
        deck = [Trouble(0, f"kill {process}", _soon(random)) for process in processes]
        deck.append(Trouble(0, f"freeze {random.choice(processes)}", random.uniform(0, freeze)))
        deck += [Trouble(0, what, random.uniform(0, longest)) for what, longest in servers.items()]
        deck += [_fault(random) for _ in range(FAULTS_A_ROUND)]
        if clocks:
            what = f"clock {random.randint(1, machines)} {random.choice(STEPS_SECONDS):+g}"
            deck.append(Trouble(0, what, random.uniform(0, length / 2)))
        random.shuffle(deck)
        for n, trouble in enumerate(deck):
            at = begin + (n + random.random()) * length / len(deck)
            # What begins late is over soon, or the run would go on without a load.
            lasts = min(trouble.seconds, seconds - at)
            troubles.append(replace(trouble, at=at, seconds=lasts))
        begin += length
    return troubles


def _soon(random: Random) -> float:
    return random.choice([0.0, random.uniform(0.0, 3.0)])


def _fault(random: Random) -> Trouble:
    route, fault, args, probability = random.choice(FAULTS)
    rule = {"route": route, "fault": fault, "args": args, "probability": probability}
    rule["seed"] = random.randrange(2**30)
    return Trouble(0, "fault", random.uniform(1.0, 5.0), rule)
