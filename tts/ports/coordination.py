"""How processes agree: who leads, what was done, short words, and shared documents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar


class Coordination(Protocol):
    """What makes one process of several the one that acts, and lets it resume."""

    def leadership(self, name: str) -> AbstractAsyncContextManager[Leadership]:
        """Wait until this process leads ``name`` and lead while the context is open.

        Raises:
            Unavailable: nobody can say who leads.
        """
        ...

    async def checkpoint(self, name: str) -> int:
        """The position up to which ``name`` has done its work, 0 at first."""
        ...

    async def save_checkpoint(self, name: str, position: int, seen: int | None = None) -> None:
        """Remember the position; it never goes back.

        ``seen`` is how far the log was read by whoever says so, if that is further.

        Raises:
            WentBack: what stood there is gone; nothing is remembered.
        """
        ...


class Leadership(Protocol):
    """A leadership that can be lost, for instance with the connection that holds it."""

    async def lost(self) -> None:
        """Return when the leadership is lost; the work must stop at once."""
        ...


class Signals(Protocol):
    """Short words between processes that are lost on whoever does not listen: hints."""

    async def send(self, word: str) -> None:
        """Tell all who listen; at most 100 characters.

        Raises:
            Unavailable: perhaps nobody was told.
        """
        ...

    async def listen(self, hear: Callable[[str], None], begun: Callable[[], None]) -> None:
        """Hear every word, whoever sends it, until canceled; outages are waited out.

        ``begun`` is called when the listening begins, and begins again: words from before may have
        been missed.
        """
        ...


class SharedDocument(Protocol):
    """Small documents that all processes of the service share, each under a name."""

    async def update(self, name: str, change: Callable[[bytes, float], tuple[bytes, T]]) -> T:
        """Replace a document by what ``change`` makes of it, and return what it says besides.

        It gets the document (empty at first) and the time, in seconds since 1970 by a clock that
        all processes share. No two changes of a document overlap. It may be called again, so it has
        to do nothing else; who returns the document as it was changes nothing.

        Raises:
            Unavailable: the store did not answer; the change may or may not be there.
        """
        ...


T = TypeVar("T")
