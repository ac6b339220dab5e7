"""What a port raises besides the failures of a step."""

from __future__ import annotations


class Unavailable(Exception):
    """A service that we need (store, broker) does not answer; nothing was recorded.

    ``public`` is the reason as anybody may read it: without hosts, ports, paths and secrets.
    """

    def __init__(self, reason: str = "", *, public: str = "") -> None:
        super().__init__(reason)
        self.public = public


class Conflict(Exception):
    """Somebody else appended to the task first: load it again and decide again."""


class BadCursor(Exception):
    """The cursor of a list is none of ours."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"cursor {cursor!r} is not one that a page ended with")


class Unfit(Exception):
    """A service answers and cannot be used as it is, now or later; the message says what to do."""
