"""What owners have taken: as the log has it, and by requests that are under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Self


class Taken:
    """Unfinished tasks by owner, and characters by owner and day, as of ``position``."""

    def __init__(
        self,
        position: int = 0,
        unfinished: Mapping[str, int] | None = None,
        characters: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self.position = position
        self.unfinished = Counter(unfinished)
        self.characters = Counter(characters)
        self._places: dict[int, CountedPlace] = {}
        self._oldest = ""

    def add(self, owner: str, day: str, tasks: int, characters: int) -> None:
        """Count it; what comes to nothing takes no room."""
        self.unfinished[owner] += tasks
        if not self.unfinished[owner]:
            del self.unfinished[owner]
        if characters:
            self.characters[owner, day] += characters
            if not self.characters[owner, day]:
                del self.characters[owner, day]

    def see(self, position: int, owner: str, day: str, tasks: int, characters: int) -> None:
        """Count what the event at ``position`` says, instead of the place that it came from."""
        if place := self._places.pop(position, None):
            place.give_back()
        self.add(owner, day, tasks, characters)
        self.position = position

    def expect(self, place: CountedPlace, position: int) -> bool:
        """Keep a place until the event at ``position`` is seen; false for one that is known."""
        if position <= self.position or position in self._places:
            return False
        self._places[position] = place
        return True

    def forget_before(self, day: str) -> None:
        """Keep the characters of that day and later ones."""
        if day != self._oldest:
            self._oldest = day
            for key in [key for key in self.characters if key[1] < day]:
                del self.characters[key]


class Place:
    """What a request takes while it is under way: here nothing, for want of a limit."""

    def recorded(self, position: int) -> None:
        """The request is the event at ``position`` now; one that is repeated is none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


UNCOUNTED = Place()


class CountedPlace(Place):
    """A task and its characters, which count until their event is seen or the request failed."""

    def __init__(self, taken: Taken, owner: str, day: str, characters: int) -> None:
        self._taken = taken
        self._owner, self._day, self._characters = owner, day, characters
        self._is_expected = False
        taken.add(owner, day, 1, characters)

    def recorded(self, position: int) -> None:
        """See :class:`Place`."""
        self._is_expected = self._taken.expect(self, position)

    def give_back(self) -> None:
        """Count no longer."""
        self._taken.add(self._owner, self._day, -1, -self._characters)

    def __exit__(self, *_: object) -> None:
        if not self._is_expected:
            self.give_back()
