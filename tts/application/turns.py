"""Whose turn comes when: what the leading relay tells of those who wait, and what follows from it.

The relay alone knows the order. It tells of it every other second, in a form that stays small
however many wait: of each owner's line its length, and where in the log some of its rounds were
asked for. From that anybody can tell the place of a round, exactly while lines are short and to a
hundredth of a long one. A place counts those whose turn comes before if nobody else asks from now
on; who asks later in a shorter line, or with a higher priority, may still go ahead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tts.domain.values import WEIGHTS


@dataclass(frozen=True, slots=True)
class Line:
    """One owner's rounds of one priority that wait in the relay.

    ``marks`` are the positions in the log of the first of them and of each ``stride`` further on,
    ``last`` is that of the last one.
    """

    owner: str
    length: int
    stride: int
    marks: Sequence[int]
    last: int

    def before(self, position: int, followed: int) -> int | None:
        """How many of the line come before the round at that position; None if it is not in it.

        ``followed`` is up to where the line knows the log: what is younger will stand at its end.
        """
        if position > followed:
            return self.length
        if self.stride == 1:
            return self.marks.index(position) if position in self.marks else None
        number = bisect_right(self.marks, position) - 1
        if number < 0:
            return None
        begin, rank = self.marks[number], number * self.stride
        end, last_rank = self.last, self.length - 1
        if number + 1 < len(self.marks):
            end, last_rank = self.marks[number + 1], rank + self.stride
        share = (position - begin) / max(end - begin, 1)
        return rank + round(min(max(share, 0.0), 1.0) * (last_rank - rank))


@dataclass(frozen=True, slots=True)
class Rest:
    """Lines of which no more is known than how many they are and how many rounds wait in them."""

    lines: int = 0
    rounds: int = 0

    def turns(self, cycles: int) -> int:
        """About how many turns they have in so many cycles."""
        return min(self.lines * cycles, self.rounds)


@dataclass(frozen=True, slots=True)
class Turns:
    """The order at one moment, and how fast it moves.

    ``published`` are positions of those that are with the broker, in order: the next ones. Then
    come ``lines``, by priority and in the order of their next turns; behind those of a priority
    stands its ``rest``. ``seconds_per_turn`` is how long it takes until one more place is free,
    None while that is not known; ``free`` places wait for work.
    """

    followed: int
    published: Sequence[int]
    lines: Mapping[str, Sequence[Line]]
    rest: Mapping[str, Rest]
    seconds_per_turn: float | None
    free: int

    @property
    def waiting(self) -> int:
        """How many rounds wait in all."""
        return len(self.published) + sum(map(self._count, self.lines))

    def place(self, positions: Sequence[int], *, owner: str, priority: str) -> int | None:
        """The place of a task that waits, 1 for the next; None if it is not known here.

        ``positions`` are those of the event that asked for its round, and of all after it.
        """
        for position in positions:
            if position in self.published:
                return self.published.index(position) + 1
        before = self._before(positions[0], owner, priority)
        return None if before is None else len(self.published) + before + 1

    def wait_ms(self, place: int) -> int | None:
        """About how long until that place has its turn; None while that is not known."""
        return wait_ms(place, self.free, self.seconds_per_turn)

    def _before(self, position: int, owner: str, priority: str) -> int | None:
        """How many turns in the relay come before that of the round."""
        lines = self.lines.get(priority, ())
        number = next((n for n, line in enumerate(lines) if line.owner == owner), len(lines))
        if number < len(lines):
            cycle = lines[number].before(position, self.followed)
        else:  # one of the rest, or the first round of its owner
            cycle = 0 if position > self.followed and not self._rest(priority).lines else None
        if cycle is None:
            return None
        turns = sum(min(line.length, cycle + 1) for line in lines[:number]) + cycle
        turns += sum(min(line.length, cycle) for line in lines[number + 1 :])
        turns += self._rest(priority).turns(cycle)
        return turns + self._of_others(turns, priority)

    def _of_others(self, turns: int, priority: str) -> int:
        """How many turns the other priorities have before that one's turn with this number."""
        own = WEIGHTS[priority]
        return sum(
            min(self._count(other), round((turns + 0.5) * weight / own))
            for other, weight in WEIGHTS.items()
            if other != priority
        )

    def _count(self, priority: str) -> int:
        lines = self.lines.get(priority, ())
        return sum(line.length for line in lines) + self._rest(priority).rounds

    def _rest(self, priority: str) -> Rest:
        return self.rest.get(priority, Rest())

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """What :meth:`facts` made.

        Raises:
            KeyError, TypeError: another version made them.
        """
        lines = {name: _lines(each) for name, each in facts["lines"].items()}
        rest = {name: Rest(**each) for name, each in facts["rest"].items()}
        return cls(**{**facts, "lines": lines, "rest": rest})


def wait_ms(place: int, free: int, seconds_per_turn: float | None) -> int | None:
    """About how long a place in the queue waits; None while it is not known how fast it moves."""
    if place <= free:
        return 0
    if seconds_per_turn is None:
        return None
    return round((place - free) * seconds_per_turn * 1000)


def _lines(facts: Iterable[Mapping[str, Any]]) -> list[Line]:
    return [Line(**each) for each in facts]
