"""Tasks that are long over, whose events stand in an archive and no longer in the log.

A log that events were taken out of is not whole: who has not read a position up to
:attr:`tts.ports.log.Log.archived_to` may have missed some, and is told so. What is kept of each
task answers for it, and holds its id: nothing can be appended to it, so that a request with its
Idempotency-Key never becomes a second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tts.ports.log import ArchivedTask, Recorded


@dataclass(frozen=True, slots=True)
class ArchiveStanding:
    """How many of an archive's tasks are out of the log, and the newest position among them.

    It is ``done`` when all are that could be; an archive that was begun and not done goes on.
    """

    name: str
    tasks: int
    position: int
    done: bool


class LogArchive(Protocol):
    """What takes events out of the log, and brings them back.

    Each call is one transaction, and holds up whoever appends meanwhile: give it few tasks.
    """

    async def standings(self) -> list[ArchiveStanding]:
        """Those of all archives that tasks are in, or are about to be, by name."""
        ...

    async def begin(self, name: str) -> None:
        """Announce an archive, before anything of it is written; again is fine.

        Raises:
            Unfit: nobody here may take events out of the log.
        """
        ...

    async def move(self, name: str, tasks: Sequence[ArchivedTask]) -> set[UUID]:
        """Take tasks out of the log that the archive has; returns which ones are out now.

        One that has changed since stays, as does the one that has the log's newest event.
        """
        ...

    async def finish(self, name: str) -> None:
        """All of the archive's tasks are out that could be; one that has none is forgotten."""
        ...

    async def restore(self, name: str, events: Sequence[Recorded]) -> int:
        """Bring all events of some tasks back to where they were; returns how many tasks.

        One that is not in the archive any more stays as it is.
        """
        ...

    async def free_space(self) -> str:
        """Give back the room that the events took, as far as can be; returns what became of it."""
        ...
