"""A private RabbitMQ cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.services.process import ServiceError
from tests.services.rabbitmq import Epmd, RabbitMQ
from tests.waiting import wait_until

WHOLE_SECONDS = 120.0  # on a busy machine, with a partition to be healed first


class RabbitMQCluster:
    """Three nodes; a quorum queue has a replica on each.

    ``nodes`` are :class:`RabbitMQ`, to be halted, started, frozen one by one; ``settings`` are more
    lines of rabbitmq.conf, for instance ``cluster_partition_handling``. A vhost made by
    :meth:`create_vhost` is on all of them.
    """

    def __init__(self, *, size: int = 3, **settings: str) -> None:
        self._epmd = Epmd()
        self.nodes = [RabbitMQ(epmd=self._epmd) for _ in range(size)]
        formation = "cluster_formation"
        members = {
            f"{formation}.classic_config.nodes.{number}": node.name
            for number, node in enumerate(self.nodes, 1)
        }
        for node in self.nodes:
            node.settings |= {f"{formation}.peer_discovery_backend": "classic_config", **members}
            node.settings |= settings
        self.mend()

    def create_vhost(self) -> str:
        """A fresh, empty vhost; returns its URL with all nodes: ``amqp://…@host:port,host:port/v``.

        What knows one host only takes :meth:`url_of` a node.
        """
        return self.url_of_all(self.nodes[0].create_vhost().rpartition("/")[2])

    def url_of_all(self, vhost: str) -> str:
        """The vhost at every node."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"amqp://guest:guest@{hosts}/{vhost.removeprefix('/')}"

    def url_of(self, node: RabbitMQ, url: str) -> str:
        """The vhost of ``url`` at one node."""
        return node.url + node.vhost(url)

    @property
    def awake(self) -> list[RabbitMQ]:
        """The nodes that are neither halted nor frozen."""
        return [node for node in self.nodes if node.awake]

    def leader(self, url: str, queue: str) -> RabbitMQ | None:
        """The node that leads a quorum queue; None while no replica, or more than one, says so.

        One that loses its quorum while it leads goes on to say that it leads.
        """
        vhost = self.nodes[0].vhost(url).replace("/", "%2F")
        state = f"ets:lookup(ra_state, '{vhost}_{queue}')."  # what the replica says of itself
        leaders = [node for node in self.awake if "leader" in node.evaluate(state)]
        return leaders[0] if len(leaders) == 1 else None

    def start(self, nodes: Sequence[RabbitMQ]) -> None:
        """Start these nodes at once: a node may have to wait for the others of its cluster."""
        with ThreadPoolExecutor(len(nodes)) as threads:
            list(threads.map(RabbitMQ.start, nodes))

    def mend(self) -> None:
        """Thaw or start every node that needs it, and wait until all see all."""
        for node in self.nodes:
            if node.running:
                node.thaw()
        if halted := [node for node in self.nodes if not node.running]:
            self.start(halted)
        try:
            wait_until(self._whole, "the nodes see each other", WHOLE_SECONDS)
        except TimeoutError:
            # RabbitMQ's own healing gets stuck at times. An operator then starts the others anew.
            for node in self.nodes[1:]:
                node.halt(crash=True)
            self.start(self.nodes[1:])
            wait_until(self._whole, "the nodes see each other", WHOLE_SECONDS)

    @contextlib.contextmanager
    def without_quorum(
        self, survivor: RabbitMQ | None = None, *, freeze: bool = False
    ) -> Iterator[RabbitMQ]:
        """Only the survivor (by default the first node) is left; the others are killed or frozen.

        The killed ones need some seconds to come back; the frozen ones are back at once.
        """
        survivor = survivor or self.nodes[0]
        for node in self.nodes:
            if node is not survivor:
                node.freeze() if freeze else node.halt(crash=True)
        try:
            yield survivor
        finally:
            self.mend()

    def stop(self) -> None:
        """End all nodes and remove their data."""
        for node in self.nodes:
            node.stop()
        self._epmd.stop()

    def _whole(self) -> bool:
        seen = "length(rabbit_mnesia:cluster_nodes(running))."
        with contextlib.suppress(ServiceError):  # one that is about to start anew
            return all(int(node.evaluate(seen)) == len(self.nodes) for node in self.nodes)
        return False
