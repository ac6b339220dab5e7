"""The servers that a run disturbs, and what can be done to them.

A harm begins when its context is entered, and is over when that is left.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from random import Random
from typing import Any, NamedTuple

from tests.services.postgres import Postgres
from tests.services.postgres_pair import PostgresPair
from tests.services.rabbitmq import RabbitMQ
from tests.services.rabbitmq_cluster import RabbitMQCluster
from tests.services.s3 import S3
from tests.services.silence import Silence

DISK_MEGABYTES = 1000
NEED_ROOT = ("postgres disk", "postgres vanish", "rabbitmq vanish", "s3 vanish")
# What README recommends for brokers, and a standby that soon notices a link that has died.
BROKER_SETTINGS = {"net_ticktime": "5", "cluster_partition_handling": "autoheal"}
DATABASE_SETTINGS: dict[str, str | int] = {
    "max_wal_size": "128MB",
    "wal_keep_size": "128MB",
    "wal_receiver_timeout": "3s",
    "wal_sender_timeout": "3s",
}


class Harm(NamedTuple):
    """What can be done to a server, for at most ``longest`` seconds."""

    cause: Callable[[], AbstractContextManager[Any]]
    longest: float


class Servers:
    """One of each. RabbitMQ's default vhost is used: it outlives a wipe."""

    def __init__(self, postgres: Postgres, rabbitmq: RabbitMQ, s3: S3) -> None:
        self.postgres = postgres
        self.rabbitmq = rabbitmq
        self.s3 = s3

    @property
    def broker_url(self) -> str:
        """Where the service finds the broker."""
        return self.rabbitmq.url

    def create_database(self) -> str:
        """A fresh, empty database; returns its URL."""
        return self.postgres.create_database()

    def copy_database(self, url: str) -> str:
        """A copy of it that nobody else uses; returns its URL."""
        return self.postgres.copy_database(url)

    def list_queues(self) -> list[dict[str, Any]]:
        """The queues of the default vhost."""
        return self.rabbitmq.list_queues("/")

    def harms(self) -> Mapping[str, Harm]:
        """All that there are, by name; the first word is the server's, which has one at a time."""
        return {
            "rabbitmq stop": Harm(partial(halted, self.rabbitmq), 4),
            "rabbitmq wipe": Harm(partial(wiped, self.rabbitmq), 0),
            "postgres restart": Harm(partial(halted, self.postgres), 4),
            "postgres crash": Harm(partial(halted, self.postgres, crash=True), 4),
            "postgres read-only": Harm(partial(read_only, self.postgres), 6),
            "s3 stop": Harm(partial(halted, self.s3), 4),
        }


class ClusterServers:
    """Three brokers, a primary whose commits wait for its standby, and an audio store."""

    def __init__(self, s3: S3, random: Random) -> None:
        self.s3 = s3
        disk = DISK_MEGABYTES if os.geteuid() == 0 else None
        self.pair = PostgresPair(synchronous=True, settings=DATABASE_SETTINGS, disk=disk)
        self.cluster = RabbitMQCluster(**BROKER_SETTINGS)
        self._random = random

    @property
    def broker_url(self) -> str:
        """Where the service finds the brokers."""
        return self.cluster.url_of_all("/")

    def create_database(self) -> str:
        """A fresh, empty database; returns the URL that finds it at either server."""
        return self.pair.create_database()

    def copy_database(self, url: str) -> str:
        """A copy of it that nobody else uses; returns its URL."""
        return self.pair.primary.copy_database(url)

    def list_queues(self) -> list[dict[str, Any]]:
        """The queues of the default vhost."""
        return self.cluster.nodes[0].list_queues("/")

    def harms(self) -> Mapping[str, Harm]:
        """All that there are, by name; the first word is the server's, which has one at a time."""
        pair, cluster = self.pair, self.cluster
        return {
            "rabbitmq kill": Harm(lambda: self._node(partial(halted, crash=True)), 10),
            "rabbitmq stop": Harm(lambda: self._node(halted), 5),
            "rabbitmq freeze": Harm(lambda: self._node(frozen), 20),
            "rabbitmq vanish": Harm(lambda: self._node(lambda node: silent(node.port)), 15),
            "rabbitmq disk": Harm(lambda: self._node(no_room), 5),
            "rabbitmq quorum": Harm(cluster.without_quorum, 5),
            "postgres restart": Harm(lambda: self._caught_up(halted(pair.primary)), 4),
            "postgres crash": Harm(lambda: self._caught_up(halted(pair.primary, crash=True)), 4),
            "postgres standby": Harm(lambda: self._caught_up(halted(pair.standby)), 4),
            "postgres freeze": Harm(lambda: self._caught_up(frozen(pair.primary)), 12),
            "postgres vanish": Harm(lambda: self._caught_up(silent(pair.primary.port)), 12),
            "postgres read-only": Harm(lambda: self._caught_up(read_only(pair.primary)), 8),
            "postgres disk": Harm(lambda: self._caught_up(full(pair.primary)), 5),
            "postgres failover": Harm(lambda: self._caught_up(failed_over(pair)), 3),
            "postgres switchover": Harm(lambda: self._caught_up(failed_over(pair, clean=True)), 3),
            "s3 stop": Harm(partial(halted, self.s3), 4),
            "s3 vanish": Harm(lambda: silent(int(self.s3.endpoint.rpartition(":")[2])), 15),
        }

    def stop(self) -> None:
        """End brokers and databases."""
        self.cluster.stop()
        self.pair.stop()

    @contextlib.contextmanager
    def _node(self, cause: Callable[[RabbitMQ], AbstractContextManager[Any]]) -> Iterator[None]:
        """One of the brokers has it, and they are whole again before the next trouble."""
        with cause(self._random.choice(self.cluster.nodes)):
            yield
        self.cluster.mend()

    @contextlib.contextmanager
    def _caught_up(self, trouble: AbstractContextManager[Any]) -> Iterator[None]:
        """The standby has everything again before the next trouble: a failover loses nothing."""
        with trouble:
            yield
        self.pair.catch_up()


@contextlib.contextmanager
def halted(server: Postgres | RabbitMQ | S3, **how: bool) -> Iterator[None]:
    """It ends, and is started again."""
    server.halt(**how)
    yield
    server.start()


@contextlib.contextmanager
def wiped(broker: RabbitMQ) -> Iterator[None]:
    """It has lost everything."""
    broker.wipe()
    yield


@contextlib.contextmanager
def frozen(server: Postgres | RabbitMQ) -> Iterator[None]:
    """Its connections stay, and nothing comes from it."""
    server.freeze()
    yield
    server.thaw()


@contextlib.contextmanager
def silent(port: int) -> Iterator[None]:
    """Packets to and from it are dropped: connections are half open."""
    silence = Silence(port)
    yield
    silence.end()


def read_only(database: Postgres) -> AbstractContextManager[None]:
    """It answers, and refuses every write."""
    return database.setting(default_transaction_read_only="on")


@contextlib.contextmanager
def full(database: Postgres) -> Iterator[None]:
    """Its disk has no byte left, which may end it."""
    database.fill_disk()
    yield
    database.free_disk()
    if not database.running:
        database.start()


@contextlib.contextmanager
def no_room(broker: RabbitMQ) -> Iterator[None]:
    """It believes that its disk is full, and takes no message.

    The alarm itself: on a busy machine `df` takes too long, and nobody watches the disk any more.
    """
    broker.evaluate("rabbit_alarm:set_alarm({{resource_limit, disk, node()}, []}).")
    yield
    broker.evaluate("rabbit_alarm:clear_alarm({resource_limit, disk, node()}).")


@contextlib.contextmanager
def failed_over(pair: PostgresPair, *, clean: bool = False, after: float = 0) -> Iterator[None]:
    """The primary is gone, the standby takes its place, and is followed by a new standby later."""
    pair.fail_over(clean=clean, after=after)
    yield
    pair.rejoin()
