"""Who asks, and what that one may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
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
    STREAM = "stream"  # any key, or a token for streams in the query
    SOCKET = "socket"  # the same, or nothing yet: its first message says who it is
    AUDIO = "audio"  # any key, or a token for that very audio in the query
    COMMAND = "command"  # a key that may change something
    OPERATE = "operate"  # a key that is not bound to one owner's tasks


class Scope(StrEnum):
    """What a token is for."""

    STREAM = "stream"  # to follow, over /events and /ws
    COMMAND = "command"  # and to command, over /ws
    AUDIO = "audio"  # to fetch one audio


_SEES = frozenset({Need.NOTHING, Need.READ, Need.STREAM, Need.SOCKET, Need.AUDIO})
_ALLOWED = {
    Role.APP: _SEES | {Need.COMMAND},
    Role.DASHBOARD: _SEES | {Need.OPERATE},
    Role.ADMIN: frozenset(Need),
}
_LENT = {
    Scope.STREAM: frozenset({Need.STREAM, Need.SOCKET}),
    Scope.COMMAND: frozenset({Need.STREAM, Need.SOCKET, Need.COMMAND}),
    Scope.AUDIO: frozenset({Need.AUDIO}),
}
_INSTEAD = {
    Need.COMMAND: 'send {"type": "authenticate", "key": "tts_…"} first, or open /ws with a token '
    'from POST /api/stream-token {"scope": "command"}',
    Need.AUDIO: "get one for this audio: "
    'POST /api/stream-token {"scope": "audio", "object": "<the last part of its URL>"}',
}


@dataclass(frozen=True, slots=True)
class Token:
    """What is lent of a key; ``object_key`` is the audio's, for a scope of AUDIO."""

    scope: Scope
    ends: datetime
    object_key: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much its owner may take: 0 is any amount, None what the settings say."""

    max_tasks: int | None = None
    characters_per_day: int | None = None


BY_SETTINGS = Quota()


@dataclass(frozen=True, slots=True)
class Access:
    """What a credential grants. New tasks belong to ``owner``; ``key_id`` is empty for no key.

    ``expires`` is the key's end and ``token`` what is lent of it, None for the key itself;
    ``address`` is where it was shown.
    """

    owner: str
    role: Role
    key_id: str
    quota: Quota = BY_SETTINGS
    expires: datetime | None = None
    token: Token | None = None
    address: str = field(default="", compare=False)

    @property
    def ends(self) -> datetime | None:
        """When it grants nothing any more, if that is known."""
        return self.token.ends if self.token is not None else self.expires

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
        lent = self.token is None or need in _LENT[self.token.scope]
        return lent and need in _ALLOWED[self.role]

    def check(self, need: Need) -> None:
        """Return if that is granted.

        Raises:
            Forbidden
        """
        if need not in _ALLOWED[self.role]:
            raise Forbidden(f"a key of role {self.role} may not do this")
        if self.token is not None and need not in _LENT[self.token.scope]:
            instead = _INSTEAD.get(need, "get one without a scope at POST /api/stream-token")
            raise Forbidden(f"a token of scope {self.token.scope} is not for this: {instead}")

    def check_object(self, key: str) -> None:
        """Return if that audio may be fetched, as far as a token says.

        Raises:
            Forbidden
        """
        if self.token is not None and self.token.object_key != key:
            raise Forbidden(f"the token is for another audio: {_INSTEAD[Need.AUDIO]}")


ANYBODY = Access("", Role.ADMIN, "")
"""Where no keys are configured, nobody is asked who he is, and everybody may do everything."""

STRANGER = Access("", Role.APP, "")
"""On a WebSocket that has not said yet who it is: no message but that is looked at."""
