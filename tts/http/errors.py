"""Why something that came from outside must not be used, now or later."""

from __future__ import annotations


class FetchError(Exception):
    """What came back must not be used; the message names no host, port or size."""


class TooLarge(FetchError):
    """The body is larger than the limit."""


class Coded(FetchError):
    """The body is compressed, although we asked for it as it is."""


class ForeignRedirect(FetchError):
    """The host points to another one, or round in circles."""


class OutOfReach(FetchError):
    """The address leads to where nothing is fetched."""
