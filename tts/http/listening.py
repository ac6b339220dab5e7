"""Addresses to listen on, of either kind of IP."""

from __future__ import annotations

import errno
import ipaddress
import socket

from tts.ports.errors import Unavailable

EVERY_IPV6 = "::"
_TAKEN = {errno.EADDRINUSE, errno.EACCES}


def bind(host: str, port: int, setting: str = "PORT", *, shared: bool = False) -> socket.socket:
    """A socket that has the address, and refuses connections until somebody listens.

    ``::`` is every address of this machine, IPv4 as well; any other is that one and no second.
    ``setting`` is the one that names the port. A ``shared`` one may be bound as often as one likes:
    the kernel shares out the connections.

    Raises:
        Unavailable: the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name may stand for both kinds; clients that know but one know the older.
        family, *_, address = min(found, key=lambda each: each[0] == socket.AF_INET6)
        listener = socket.socket(family)
    except OSError as error:
        raise _refusal(error, host, port, setting) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != EVERY_IPV6)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _refusal(error, host, port, setting) from error
    return listener


def listen(listener: socket.socket, backlog: int) -> None:
    """Let clients in.

    Raises:
        Unavailable: another was bound there, too, and listens already.
    """
    try:
        listener.listen(backlog)
    except OSError as error:
        host, port, *_ = listener.getsockname()
        raise _refusal(error, host, port, "PORT") from error


def url_of(listener: socket.socket) -> str:
    """Where it is reached from this machine."""
    host, port, *_ = listener.getsockname()
    return f"http://{_in_url(host)}:{port}"


def _refusal(error: OSError, host: str, port: int, setting: str) -> Unavailable:
    where = f"cannot listen on {_in_url(host)}:{port}: {error.strerror}"
    if error.errno in _TAKEN:
        return Unavailable(f"{setting}: {where}; stop what listens there, or set another")
    return Unavailable(f"HOST: {where}; set an address of this machine, or 0.0.0.0 for all")


def _in_url(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host  # noqa: PLR2004
    except ValueError:
        return host
