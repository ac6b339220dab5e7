"""Fault injection: rules that say which call goes wrong, and how.

Made for testing your own Replicate integration. A rule is a JSON object::

    {"route": "create", "fault": "reset_after", "nth": 1}
    {"route": "create", "fault": "status", "args": {"status": 429, "retry_after": 5}, "count": 3}
    {"route": "prediction", "fault": "failed", "args": {"error": "... (code: PA)"},
     "probability": 0.1, "seed": 7}
    {"route": "template_audio", "fault": "html", "match": "^broken"}
    {"route": "webhook", "fault": "duplicated"}

``route``
    An HTTP route: ``create``, ``list``, ``get``, ``cancel``, ``model``, ``version``, ``secret``,
    ``delivery`` (the output file), ``template_audio``, ``template_transcript``; or ``prediction``
    (what becomes of a new prediction) or ``webhook`` (what happens to its webhooks).
``fault``, ``args``
    The name in the catalogue of that route, and its arguments; ``GET /sandbox`` prints them all.
``match``
    A regular expression that must be found in the text to speak or, on the template routes, in the
    template id. Calls that it leaves out are not counted.
``nth``
    Only the n-th call of those (from 1), or a list of such numbers.
``probability``, ``seed``
    Each call by chance; the same seed draws the same chances.
``count``
    At most so many times.

The first rule that applies wins, but every rule counts every call. ``GET /sandbox/faults`` shows
the rules with their ``seen`` and ``injected``, ``PUT`` replaces them all, ``POST`` adds one or a
list, ``DELETE`` clears them. ``tts sandbox --faults FILE`` loads the same list from a JSON file.
"""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tts.sandbox.fates import FATES
from tts.sandbox.replies import REPLIES
from tts.sandbox.webhook_plan import PLANS

HTTP_ROUTES = (
    "create",
    "list",
    "get",
    "cancel",
    "model",
    "version",
    "secret",
    "delivery",
    "template_audio",
    "template_transcript",
)
CATALOGUE: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    **dict.fromkeys(HTTP_ROUTES, REPLIES),
    "prediction": FATES,
    "webhook": PLANS,
}


class BadRule(ValueError):
    """A rule that cannot be understood; the message says which part of it and why."""


# The name of a fault that is to happen now, and its arguments.
Injection = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Rule:
    """One rule; its fields are described in the module's docstring."""

    route: str
    fault: str
    args: dict[str, Any] = field(default_factory=dict)
    match: str | None = None
    nth: int | list[int] | None = None
    probability: float | None = None
    seed: int = 0
    count: int | None = None
    seen: int = 0
    injected: int = 0
    _chances: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Reproducible chances are the point: no secret hangs on them.
        self._chances = random.Random(self.seed)  # noqa: S311

    def applies(self, subject: Callable[[], str]) -> bool:
        """Count the call and say whether the fault is due at it."""
        if self.match is not None and re.search(self.match, subject()) is None:
            return False
        self.seen += 1
        # Drawn at every call, so that the other conditions do not shift the chances.
        chance = self._chances.random()
        numbers = [self.nth] if isinstance(self.nth, int) else self.nth
        return (
            (numbers is None or self.seen in numbers)
            and (self.probability is None or chance < self.probability)
            and (self.count is None or self.injected < self.count)
        )

    def as_json(self) -> dict[str, Any]:
        """The rule as it was given, with its counters."""
        return {
            name: value
            for name in self.__slots__
            if not name.startswith("_") and (value := getattr(self, name)) is not None
        }


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def draw(self, route: str, subject: Callable[[], str]) -> Injection | None:
        """The fault that is due at this call, if any; ``subject`` is what ``match`` looks at."""
        due = [rule for rule in self._rules if rule.route == route and rule.applies(subject)]
        if not due:
            return None
        due[0].injected += 1
        return due[0].fault, due[0].args

    def add(self, given: object) -> None:
        """Add one rule or a list of them; all or none.

        Raises:
            BadRule: one of them cannot be understood.
        """
        if not isinstance(given, list):
            given = [given]
        fresh = []
        for number, item in enumerate(given, 1):
            try:
                fresh.append(_parse(item))
            except BadRule as error:
                raise BadRule(f"rule {number}: {error}") from error
        self._rules += fresh

    def replace(self, given: object) -> None:
        """Put these rules in the place of all others; a bad one leaves everything as it was."""
        fresh = Faults()
        fresh.add(given)
        self._rules = fresh._rules

    def as_json(self) -> list[dict[str, Any]]:
        """The rules with their counters."""
        return [rule.as_json() for rule in self._rules]


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "route": str,
    "fault": str,
    "args": dict,
    "match": str,
    "nth": (int, list),
    "probability": (int, float),
    "seed": int,
    "count": int,
}


def _parse(given: object) -> Rule:
    if not isinstance(given, dict):
        raise BadRule(f"a rule is a JSON object, not {given!r}")
    # What GET shows can be put back; the counters start anew.
    given = {name: value for name, value in given.items() if name not in {"seen", "injected"}}
    for name, value in given.items():
        if name not in _FIELDS:
            raise BadRule(f"unknown field {name!r}; there are {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[name]):
            raise BadRule(f"{name} cannot be {value!r}")
    for name, names in (("route", CATALOGUE), ("fault", CATALOGUE.get(given.get("route", ""), {}))):
        if given.get(name) not in names:
            raise BadRule(f"{name} must be one of {', '.join(names)}; not {given.get(name)!r}")
    try:
        re.compile(given.get("match", ""))
    except re.error as error:
        raise BadRule(f"match is no regular expression: {error}") from error
    _check_numbers(given.get("nth", 1), given.get("probability", 1))
    try:
        _check_args(CATALOGUE[given["route"]][given["fault"]], given.get("args", {}))
    except TypeError as error:
        raise BadRule(f"args of {given['fault']}: {error}") from error
    return Rule(**given)


def _check_numbers(nth: object, probability: float) -> None:
    for number in nth if isinstance(nth, list) else [nth]:
        if type(number) is not int or number < 1:
            raise BadRule(f"nth counts from 1; it cannot be {number!r}")
    if not 0 <= probability <= 1:
        raise BadRule(f"probability is from 0 to 1, not {probability!r}")


def _check_args(fault: Callable[..., Any], args: Mapping[str, Any]) -> None:
    """Hold the arguments of a rule against the signature of its fault.

    Raises:
        TypeError: one is missing, unknown or of another type than the signature says.
    """
    signature = inspect.signature(fault, eval_str=True)
    own = [item for item in signature.parameters.values() if item.kind is not item.KEYWORD_ONLY]
    signature.bind(*own, **args)
    for name, value in args.items():
        wanted = signature.parameters[name].annotation
        # JSON writes a whole number of seconds without a point.
        number = float(value) if type(value) is int else value
        if not isinstance(value, wanted) and not isinstance(number, wanted):
            raise TypeError(f"{name} cannot be {value!r}")


def describe() -> str:
    """The catalogue for people: each fault with its arguments and its sentence."""
    lines = []
    for title, faults in (("an HTTP route", REPLIES), ("prediction", FATES), ("webhook", PLANS)):
        lines.append(f"\nfaults of {title}:")
        for name, fault in faults.items():
            usage, about = explain(name, fault)
            lines.append(f"  {usage}\n      {about}")
    return "\n".join(lines)


def explain(name: str, fault: Callable[..., Any]) -> tuple[str, str]:
    """How a fault is called, with the defaults of its arguments, and its sentence."""
    args = [
        f"{key}" if item.default is item.empty else f"{key}={item.default!r}"
        for key, item in inspect.signature(fault).parameters.items()
        if item.kind is item.KEYWORD_ONLY
    ]
    return f"{name}({', '.join(args)})", (inspect.getdoc(fault) or "").splitlines()[0]
