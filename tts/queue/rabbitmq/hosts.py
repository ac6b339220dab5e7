"""One URL, several brokers: ``amqp://user:password@host:port,host:port/vhost``."""

from __future__ import annotations

from urllib.parse import urlsplit

from yarl import URL

HEARTBEAT_SECONDS = 5  # the broker gives up a client that is silent for two of them
HEARTBEAT = "heartbeat"


def hosts(url: str) -> list[URL]:
    """The URL of each host, in the order given.

    A port that is missing is 5672 (amqps: 5671). Without a path, or with ``/`` or ``/%2F``, the
    vhost is ``/``. A heartbeat (in seconds, 0 for none) that the URL names is kept.
    """
    parts = urlsplit(url)
    user, at, names = parts.netloc.rpartition("@")
    each = [URL(parts._replace(netloc=f"{user}{at}{name}").geturl()) for name in names.split(",")]
    return [
        host if HEARTBEAT in host.query else host.update_query({HEARTBEAT: HEARTBEAT_SECONDS})
        for host in each
    ]
