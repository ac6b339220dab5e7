"""What the roster says of the service as a whole: who is there, what waits, what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from tts.application.turns import Turns
from tts.observability.remedies import remedy
from tts.ports.roster import Attendance, Heard
from tts.wire import Part, PartName, QueueDepth, Service, Trouble, TroubleCode

SILENT_SECONDS = 10.0  # five times as long as they are silent while all is well
BEHIND_SECONDS = 10.0
SETTLED_SECONDS = 10.0  # so old a part must be for its standing by to mean something

PARTS: tuple[PartName, ...] = get_args(PartName)
LED: frozenset[PartName] = frozenset({"relay", "projector"})


@dataclass(frozen=True, slots=True)
class Overview:
    """The service at one moment."""

    parts: list[Part]
    queue: QueueDepth | None
    troubles: list[Trouble]

    @property
    def service(self) -> Service:
        """What anybody may see of it: no names of machines."""
        alive = {part: sum(_is_alive(each, part) for each in self.parts) for part in PARTS}
        return {"parts": alive, "troubles": self.troubles}


def overview(attendance: Attendance) -> Overview:
    """What those tell who are on the roster; nothing of it is older than it says."""
    parts = [_part(heard) for heard in attendance.heard]
    queue = _of_leading_relay(attendance, "queue")
    if queue is not None:  # a relay of an older version does not tell all
        queue = {"oldestWaitSeconds": None, "estimatedWaitMs": None, **queue}
    return Overview(parts, queue, list(_troubles(parts, attendance)))


def turns_of(attendance: Attendance) -> Turns | None:
    """Who has his turn when, as the leading relay tells; None while none does that is heard of."""
    told = _of_leading_relay(attendance, "turns")
    try:
        return None if told is None else Turns.of(told)
    except (KeyError, TypeError):  # a relay of another version
        return None


def places_of(attendance: Attendance) -> tuple[int, int]:
    """How many places the processors have that are alive, and how many of them are taken."""
    told = [each for each in map(_part, attendance.heard) if _is_alive(each, "processor")]
    return sum(each["places"] or 0 for each in told), sum(each["busy"] or 0 for each in told)


def _of_leading_relay(attendance: Attendance, name: str) -> Any:
    for heard in attendance.heard:
        part = _part(heard)
        if _is_alive(part, "relay") and part["role"] == "leading":
            return heard.notice.facts.get(name)
    return None


def _part(heard: Heard) -> Part:
    facts = heard.notice.facts
    return {
        "part": heard.notice.part,  # type: ignore[typeddict-item]
        "name": heard.notice.name,
        "state": "silent" if heard.age > SILENT_SECONDS else "alive",
        "heardAt": _iso(heard.at),
        "silentSeconds": round(heard.age, 3),
        "version": facts.get("version"),
        "startedAt": facts.get("startedAt"),
        "role": facts.get("role"),
        "lag": facts.get("lag"),
        "busy": facts.get("busy"),
        "places": facts.get("places"),
        "streams": facts.get("streams"),
        "needs": facts.get("needs", {}),
        "awaySince": facts.get("awaySince", {}),
        "lastProblem": facts.get("lastProblem"),
    }


def _troubles(parts: Sequence[Part], attendance: Attendance) -> Iterator[Trouble]:
    for name in PARTS:
        alive = [part for part in parts if _is_alive(part, name)]
        if not alive:
            at = attendance.last.get(name)
            since = None if at is None else _iso(at)
            when = "has been seen yet" if since is None else f"since {_clock(since)}"
            yield _trouble("no_part", name, f"No {name} {when}", since)
        elif name in LED and _is_leaderless(alive):
            yield _trouble("no_leader", name, f"No {name} leads; {len(alive)} stand by")
        for part in alive:
            lag = part["lag"]
            if lag is not None and lag["seconds"] > BEHIND_SECONDS:
                events = "" if lag["events"] is None else f" and {lag['events']} events"
                message = f"The {name} is {lag['seconds']:.0f} s{events} behind the log"
                yield _trouble("behind", name, message)
    yield from _away(parts)


def _away(parts: Sequence[Part]) -> Iterator[Trouble]:
    """What some of those need who are alive, and do not get."""
    answers: defaultdict[str, dict[str, tuple[str, str | None]]] = defaultdict(dict)
    for part in parts:
        if part["state"] == "alive":
            for need, answer in part["needs"].items():
                answers[need][part["name"]] = answer, part["awaySince"].get(need)
    for need, by_process in answers.items():
        away = [(answer, since) for answer, since in by_process.values() if answer != "ok"]
        if away:
            since = min((since for _, since in away if since), default=None)
            when = f" since {_clock(since)}" if since else ""
            message = (
                f"{need} is not ready for {len(away)} of {len(by_process)} processes{when}: "
                f"{away[0][0]}"
            )
            yield _trouble("need_away", need, message, since)


def _trouble(code: TroubleCode, subject: str, message: str, since: str | None = None) -> Trouble:
    row = remedy(code, subject)
    return {
        "code": code,
        "subject": subject,
        "since": since,
        "message": message,
        "meanwhile": row.meanwhile,
        "action": row.action,
    }


def _is_alive(part: Part, name: str) -> bool:
    return part["part"] == name and part["state"] == "alive"


def _is_leaderless(alive: Sequence[Part]) -> bool:
    return all(part["role"] != "leading" for part in alive) and any(map(_is_settled, alive))


def _is_settled(part: Part) -> bool:
    started = part["startedAt"]
    settled = timedelta(seconds=SETTLED_SECONDS)
    return started is None or _time(part["heardAt"]) - _time(started) > settled


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _clock(text: str) -> str:
    """A time for people: with the date if it is long ago."""
    at = _time(text)
    recent = datetime.now(UTC) - at < timedelta(hours=12)
    return at.strftime("%H:%M:%S UTC" if recent else "%Y-%m-%d %H:%M UTC")
