"""A private PostgreSQL with a standby that follows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from tests.services.link import Link
from tests.services.postgres import Postgres
from tests.waiting import wait_until

_SETTINGS = {
    "wal_keep_size": "256MB",  # a standby that was away finds what it missed
    "wal_retrieve_retry_interval": "200ms",
}


class PostgresPair:
    """``primary`` takes writes, ``standby`` follows it; both are :class:`Postgres`.

    Replication goes through ``link``, so that a test can delay or cut it. With ``synchronous`` a
    commit waits until the standby has it, too. Without, which is PostgreSQL's default, a failover
    loses what had not got there: ``pair.link.refuse()``, some commits, ``pair.fail_over()``.
    ``disk`` is the size of each one's disk, as for :class:`Postgres`.
    """

    def __init__(
        self,
        *,
        synchronous: bool = False,
        settings: Mapping[str, str | int] | None = None,
        disk: int | None = None,
    ) -> None:
        self._synchronous = synchronous
        settings = {**_SETTINGS, **(settings or {})}
        self.primary = Postgres(settings=settings, disk=disk)
        self.link = Link(self.primary.port)
        self.standby = Postgres(settings=settings, origin=self.link.port, disk=disk)
        self._be_synchronous()

    def create_database(self) -> str:
        """A fresh, empty database that both have; returns its URL, see :meth:`url`."""
        url = self.primary.create_database()
        self.catch_up()
        return self.url(url)

    def url(self, url: str) -> str:
        """The database of ``url`` at whichever of the two takes writes (libpq's several hosts)."""
        ports = sorted((self.primary.port, self.standby.port))
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        name = urlsplit(url).path[1:]
        return f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"

    def catch_up(self) -> None:
        """Wait until the standby has applied all that the primary has committed."""
        position = self.primary.ask("SELECT pg_current_wal_lsn()")
        applied = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: self.standby.ask(applied), "the standby has caught up")

    def fail_over(self, *, clean: bool = False, after: float = 0.0) -> None:
        """The primary loses its power (``clean``: is shut down), and the standby takes its place.

        That is promoted ``after`` so many seconds, which a failover manager takes to be sure.
        From then on they have changed names: ``standby`` is the dead one. Until :meth:`rejoin` a
        test may start it, and has two servers that take writes.
        """
        if clean:
            self.primary.halt()
        else:
            self.primary.kill()
        time.sleep(after)
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def rejoin(self) -> None:
        """What is ``standby`` after a failover follows the new primary; its own data are lost."""
        if self.standby.running:
            self.standby.halt(crash=True)
        self.link.target = self.primary.port
        self.link.heal()
        self.standby.follow(self.link.port)
        self._be_synchronous()

    def mend(self) -> None:
        """Whatever a test did: one primary, and a standby that follows it."""
        for server in (self.primary, self.standby):
            if server.running:
                server.thaw()
        if not self.primary.running:
            self.primary.start()
        self.link.heal()
        if not (self.standby.running and self.standby.ask("SELECT pg_is_in_recovery()")):
            self.rejoin()
        self.catch_up()

    def stop(self) -> None:
        """End both and remove their data."""
        self.standby.stop()
        self.primary.stop()
        self.link.stop()

    def _be_synchronous(self) -> None:
        if self._synchronous:
            # Only now: without a standby, no commit would ever end.
            self.primary.set(synchronous_standby_names="standby")
