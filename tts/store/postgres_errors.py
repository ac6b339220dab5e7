"""Which errors of PostgreSQL say that it cannot be used now, and which are defects of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from tts.ports.errors import Unavailable

AWAY = frozenset(
    {
        "08",  # the connection is lost
        "25",  # it only reads: a window of maintenance, or no primary any more
        "28",  # it lets nobody in who has our name
        "40",  # somebody else's lock was in the way
        "53",  # out of connections, disk or memory
        "55",  # recovering, or not in a state for this
        "57",  # shutting down, starting, or too slow
        "58",  # a disk fails
        "F0",  # its configuration is being changed
        "XX",  # damaged
    }
)
"""Classes of SQLSTATE, the first two characters; appendix A of the manual."""
_REFUSED = "42501"  # a right was taken away, which an operator gives back
_MIXED = frozenset({"26000", "42P05"})  # a prepared statement is missing, or somebody else's
_MIXED_HINT = (
    "a pooler mixes sessions: set EVENT_STORE_DIRECT_URL and restart, or pool_mode = session"
)
_DEFECTS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
)


def is_away(error: BaseException) -> bool:
    """Whether the server or the way to it is to blame; the same statement may succeed later."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError)
    if error.sqlstate:
        return error.sqlstate[:2] in AWAY or error.sqlstate in {_REFUSED, *_MIXED}
    # The driver's own: without a server there is no code.
    return not isinstance(error, _DEFECTS)


@contextlib.contextmanager
def translated(moment: str = "") -> Iterator[None]:
    """Raise Unavailable where the server is to blame, for the event store and the read models."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        if not is_away(error):
            raise
        mixed = isinstance(error, psycopg.Error) and error.sqlstate in _MIXED
        reason = f"{_MIXED_HINT} ({error})" if mixed else error
        raise Unavailable(f"PostgreSQL{moment and ', '}{moment}: {reason}") from error
