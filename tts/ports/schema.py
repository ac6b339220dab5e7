"""What a database has to hold: the tables of one part of the service, as of one version.

A database remembers the version of each part. A start brings an older one up to date, or says whose
work that is; it refuses a newer one, which a version of the service that is newer has made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tts.ports.errors import Unfit


@dataclass(frozen=True, slots=True)
class Schema:
    """``script`` makes the tables, and makes those of every earlier version what they are now.

    It gets a new ``version`` whenever it changes. ``tables`` names each of them, with what the
    service does to its rows, in the words of a GRANT.
    """

    part: str
    version: int
    script: str
    tables: Mapping[str, str]

    def migrated(self, before: int) -> Migrated:
        """What has become of a database that held that version."""
        return Migrated(self.part, before, self.version)

    def check(self, version: int, place: str) -> None:
        """Return if a database of that version can be used, or brought up to date.

        Raises:
            Unfit: it is newer than this service.
        """
        if version > self.version:
            raise Unfit(
                f"{place} holds the {self.part} in version {version}, and this service knows it up "
                f"to version {self.version}: start the newer service that has written it, or "
                "restore a copy from before the upgrade"
            )


@dataclass(frozen=True, slots=True)
class Migrated:
    """A part that is of this ``version`` now; it was 0 before versions were counted, too."""

    part: str
    before: int
    version: int
