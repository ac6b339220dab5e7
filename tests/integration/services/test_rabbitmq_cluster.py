"""What a RabbitMQ cluster does when it loses nodes, so that tests can take them away."""

import aio_pika
import pytest

from tests.services.rabbitmq import RabbitMQ
from tests.services.rabbitmq_cluster import RabbitMQCluster
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster
QUORUM = {"x-queue-type": "quorum"}


async def publish(url: str, seconds: float = 10) -> None:
    """Declare the queue q and have a message confirmed, or raise TimeoutError."""
    async with await aio_pika.connect(url, timeout=seconds) as connection:
        channel = await connection.channel()
        await channel.declare_queue("q", durable=True, arguments=QUORUM, timeout=seconds)
        message = aio_pika.Message(b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "q", timeout=seconds)


def messages(node: RabbitMQ, vhost: str) -> int:
    """How many messages the queue q holds."""
    return sum(int(row["messages"]) for row in node.list_queues(vhost))


async def test_another_node_leads_when_the_leader_is_killed(
    rabbitmq_cluster: RabbitMQCluster,
) -> None:
    """What was confirmed is there, on a node that had not been asked, and more is confirmed."""
    cluster = rabbitmq_cluster
    vhost = cluster.create_vhost()
    await publish(cluster.url_of(cluster.nodes[0], vhost))
    leader = cluster.leader(vhost, "q")
    assert leader
    leader.halt(crash=True)
    wait_until(lambda: cluster.leader(vhost, "q"), "another node leads", 20)
    one, another = cluster.awake
    await publish(cluster.url_of(one, vhost))
    wait_until(lambda: messages(another, vhost) == 2, "both are there", 20)


@pytest.mark.parametrize("fault", ["frozen", "killed"])
async def test_nothing_is_confirmed_without_a_quorum(
    rabbitmq_cluster: RabbitMQCluster, fault: str
) -> None:
    """One node of three takes connections but confirms nothing; with the others back it does."""
    cluster = rabbitmq_cluster
    vhost = cluster.create_vhost()
    url = cluster.url_of(cluster.nodes[0], vhost)
    await publish(url)
    with cluster.without_quorum(freeze=fault == "frozen"), pytest.raises(TimeoutError):
        await publish(url, seconds=2)
    wait_until(lambda: cluster.leader(vhost, "q"), "a node leads", 20)
    await publish(url)
