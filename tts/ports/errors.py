"""What a port raises besides the failures of a step."""

from __future__ import annotations


class Unavailable(Exception):
    """A service that we need (store, broker) does not answer; nothing was recorded."""


class Conflict(Exception):
    """Somebody else appended to the task first: load it again and decide again."""
