"""What is decided before anything is routed: which connections stay, and for whom a request is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.hosts import Address, Hosts
from gateway.sanic_internals import is_idle
from tts.config import Settings


class Door:
    """Counts the connections of each address, and knows our names.

    An address that has ``CONNECTIONS_PER_ADDRESS`` loses its oldest idle one when it opens another,
    as any server may close what is idle; if none is, the new one is not let in. Streams have places
    of their own, and are not counted here.
    """

    def __init__(self, settings: Settings, hosts: Hosts) -> None:
        self._hosts = hosts
        self._most = settings.connections_per_address
        self._of_address: dict[str, dict[Any, None]] = {}

    def enter(self, connection: Any) -> bool:
        """Whether one more connection may stay."""
        address = connection.conn_info.client_ip
        others = self._of_address.setdefault(address, {})
        if len(others) >= self._most:
            idle = next(filter(is_idle, others), None)
            if idle is None:
                return False
            del others[idle]
            idle.close()
        others[connection] = None
        return True

    def leave(self, connection: Any) -> None:
        """It is gone, or somebody has taken it."""
        address = connection.conn_info.client_ip
        others = self._of_address.get(address, {})
        others.pop(connection, None)
        if not others:
            self._of_address.pop(address, None)

    def check(self, hosts: Iterable[str], came_in_on: Address) -> None:
        """Return if the request is for us.

        Raises:
            BadRequest, HostNotAllowed
        """
        for host in hosts:
            self._hosts.check(host, came_in_on)
