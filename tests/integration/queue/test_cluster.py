"""A cluster of brokers loses nodes under load: messages flow again soon, and none is lost."""

import asyncio
import contextlib

import pytest

from tests.services.rabbitmq_cluster import RabbitMQCluster
from tests.traffic import Traffic
from tests.waiting import until
from tts.ports.errors import Unavailable
from tts.queue.rabbitmq import RabbitMQ, topology

pytestmark = pytest.mark.cluster

SOON_SECONDS = 15
OUTAGE_SECONDS = 20


# What README recommends: without them the nodes wait a minute for one that hangs, and one that
# comes back from a partition does not join the others by itself.
SETTINGS = {"net_ticktime": "5", "cluster_partition_handling": "autoheal"}


@pytest.fixture(scope="module")
def cluster_of_the_module():
    cluster = RabbitMQCluster(**SETTINGS)
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(cluster_of_the_module):
    cluster_of_the_module.mend()
    return cluster_of_the_module


@pytest.fixture
def url(cluster):
    return cluster.create_vhost()


@pytest.fixture
async def traffic(url):
    """Publishes and consumes through all nodes."""
    queue = RabbitMQ(url)
    made = Traffic(queue)
    running = asyncio.create_task(made.run())
    await made.flows(60)
    made.queue = queue
    yield made
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await queue.aclose()


async def well(queue: RabbitMQ) -> bool:
    with contextlib.suppress(Unavailable):
        await queue.healthy()
        return True
    return False


@pytest.mark.parametrize("fault", ["killed", "stopped", "frozen"])
@pytest.mark.parametrize("node", ["leader", 0, 1, 2])
async def test_one_node_is_lost(cluster, url, traffic, node, fault):
    """Each of them, the leader among them: all flows again while it is away, health included."""
    lost = cluster.leader(url, topology.WORK) if node == "leader" else cluster.nodes[node]
    if fault == "frozen":
        await asyncio.to_thread(lost.freeze)
    else:
        await asyncio.to_thread(lost.halt, crash=fault == "killed")
    seconds = await traffic.flows(SOON_SECONDS)
    await until(lambda: well(traffic.queue), "health is well", SOON_SECONDS)
    print(f"{node} {fault}: messages flow after {seconds:.1f} s")  # noqa: T201 -- pytest -s shows it
    await asyncio.to_thread(cluster.mend)
    await traffic.flows(SOON_SECONDS)


@pytest.mark.parametrize("freeze", [False, True], ids=["killed", "frozen"])
async def test_without_a_quorum_everything_waits(cluster, traffic, freeze):
    """Nothing is confirmed and health says so; with the others back all goes on, nothing lost."""
    mending = cluster.without_quorum(freeze=freeze)
    await asyncio.to_thread(mending.__enter__)
    try:
        await until(lambda: unwell(traffic.queue), "health tells of it", SOON_SECONDS)
        await asyncio.sleep(OUTAGE_SECONDS)
    finally:
        await asyncio.to_thread(mending.__exit__, None, None, None)
    seconds = await traffic.flows(SOON_SECONDS)
    print(f"no quorum, {freeze=}: messages flow after {seconds:.1f} s")  # noqa: T201 -- as above
    await until(lambda: well(traffic.queue), "health is well", SOON_SECONDS)


async def unwell(queue: RabbitMQ) -> bool:
    return not await well(queue)
