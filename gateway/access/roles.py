"""Who asks, and what that one may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from gateway.errors import Forbidden


class Role(StrEnum):
    """What a key is for."""

    APP = "app"  # its owner's tasks, to read and to command
    DASHBOARD = "dashboard"  # everybody's tasks, to read
    ADMIN = "admin"  # everything


class Need(Enum):
    """What a route asks of whom it serves."""

    NOTHING = "nothing"  # pages and signs of life
    READ = "read"  # any key
    STREAM = "stream"  # any key, or a stream token in the query
    COMMAND = "command"  # a key that may change something
    OPERATE = "operate"  # a key that is not bound to one owner's tasks


_ALLOWED = {
    Role.APP: frozenset({Need.NOTHING, Need.READ, Need.STREAM, Need.COMMAND}),
    Role.DASHBOARD: frozenset({Need.NOTHING, Need.READ, Need.STREAM, Need.OPERATE}),
    Role.ADMIN: frozenset(Need),
}


@dataclass(frozen=True, slots=True)
class Quota:
    """How much its owner may take: 0 is any amount, None what the settings say."""

    max_tasks: int | None = None
    characters_per_day: int | None = None


BY_SETTINGS = Quota()


@dataclass(frozen=True, slots=True)
class Access:
    """What a key grants. New tasks belong to ``owner``; ``key_id`` is empty for no key."""

    owner: str
    role: Role
    key_id: str
    quota: Quota = BY_SETTINGS

    @property
    def scope(self) -> str | None:
        """Whose tasks are visible; None for everybody's."""
        return self.owner if self.role is Role.APP else None

    def narrowed(self, owner: str | None) -> str | None:
        """The owner that a question for ``owner`` is about; None is everybody that is visible.

        Raises:
            Forbidden: that one is not visible.
        """
        if self.scope is None:
            return owner
        if owner not in {None, self.scope}:
            raise Forbidden("owner: this key sees its own tasks only")
        return self.scope

    def may(self, need: Need) -> bool:
        """Whether that is granted."""
        return need in _ALLOWED[self.role]


ANYBODY = Access("", Role.ADMIN, "")
"""Where no keys are configured, nobody is asked who he is, and everybody may do everything."""
