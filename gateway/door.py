"""What is decided before anything is routed: which connections stay, and for whom a request is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.hosts import Address, Hosts
from gateway.room import Room
from gateway.sanic_internals import is_idle
from tts.config import Settings


class Door:
    """Counts the connections of each address, and knows our names.

    An address that has ``CONNECTIONS_PER_ADDRESS`` loses its oldest idle one when it opens another,
    as any server may close what is idle; if none is, the new one is not let in. Streams have places
    of their own, and are not counted here. It is the same with all connections, streams included,
    when the process has no room for more.
    """

    def __init__(self, settings: Settings, hosts: Hosts, room: Room) -> None:
        self._hosts = hosts
        self._room = room
        self._all: dict[Any, None] = {}
        self._most = settings.connections_per_address
        self._of_address: dict[str, dict[Any, None]] = {}

    def enter(self, connection: Any) -> bool:
        """Whether one more connection may stay."""
        address = connection.conn_info.client_ip
        if not self._room.enter(len(self._all)) and not self._close_idle(self._all):
            return False
        others = self._of_address.setdefault(address, {})
        if len(others) >= self._most and not self._close_idle(others):
            return False
        others[connection] = self._all[connection] = None
        return True

    def leave(self, connection: Any) -> None:
        """It is gone, or somebody has taken it."""
        self._all.pop(connection, None)
        address = connection.conn_info.client_ip
        others = self._of_address.get(address, {})
        others.pop(connection, None)
        if not others:
            self._of_address.pop(address, None)

    def _close_idle(self, connections: Iterable[Any]) -> bool:
        idle = next(filter(is_idle, connections), None)
        if idle is None:
            return False
        self.leave(idle)
        idle.close()
        return True

    def check(self, hosts: Iterable[str], came_in_on: Address) -> None:
        """Return if the request is for us.

        Raises:
            BadRequest, HostNotAllowed
        """
        for host in hosts:
            self._hosts.check(host, came_in_on)
