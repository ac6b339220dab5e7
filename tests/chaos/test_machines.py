"""A cluster behind nginx loses one machine after the other, and is upgraded, while it is used.

Two of each process, three brokers, a primary and its standby. The figures that each test prints
(``pytest -s``) are those of README: how long a text waited at the worst. The bounds are what is
promised of any single machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from asyncio.selector_events import _SelectorSocketTransport
from functools import partial
from random import Random

import pytest

from tests.chaos import checker, evidence
from tests.chaos.app import Accepted, App, Reader
from tests.chaos.deployment import Deployment, distributed
from tests.chaos.nursery import Nursery
from tests.chaos.servers import ClusterServers, failed_over, frozen, halted
from tests.chaos.watch import Watch
from tests.ops.nginx_site import Site
from tests.waiting import until
from tts.queue.rabbitmq import topology

pytestmark = pytest.mark.cluster

ACCEPTING_SECONDS, PROCESSING_SECONDS, READING_SECONDS = 10, 15, 15
AWAY_SECONDS = 12.0
TLS_END_SECONDS = 35.0  # asyncio gives the other side 30
PROMOTED_SECONDS = 3.0  # what a failover manager takes to be sure
WARM_SECONDS, SETTLED_SECONDS = 2.0, 60.0
ORDER = ("projector", "relay", "gateway", "processor")  # who reads before who writes


class Cluster:
    """The deployment, and what can happen to its machines."""

    def __init__(self, servers: ClusterServers, deployment: Deployment) -> None:
        self.servers = servers
        self.deployment = deployment
        self.accepted: dict[str, Accepted] = {}

    @contextlib.contextmanager
    def process(self, name: str):
        """One process is killed."""
        self.deployment.children[name].kill()
        yield
        self.deployment.start(name)

    @contextlib.contextmanager
    def hung(self, name: str):
        """One process is there and does nothing."""
        self.deployment.children[name].freeze()
        yield
        self.deployment.children[name].thaw()

    @contextlib.contextmanager
    def machine(self, number: int):
        """A machine that runs one of each is gone."""
        with contextlib.ExitStack() as stack:
            for kind in ORDER:
                stack.enter_context(self.process(f"{kind}-{number}"))
            yield

    @contextlib.contextmanager
    def broker(self, how, *, leader: bool):
        """One of the three brokers, the one that leads the queue of work or another."""
        cluster = self.servers.cluster
        leading = cluster.leader("/", topology.WORK)
        node = next(n for n in cluster.nodes if (n is leading) is leader)
        with how(node):
            yield
        cluster.mend()


FAULTS = {
    "gateway killed": lambda cluster: cluster.process("gateway-1"),
    "processor killed": lambda cluster: cluster.process("processor-1"),
    "machine 1 of the processes gone": lambda cluster: cluster.machine(1),
    "machine 2 of the processes gone": lambda cluster: cluster.machine(2),
    "relay hangs, the one that leads or not": lambda cluster: cluster.hung("relay-1"),
    "broker killed, the leader": lambda cluster: cluster.broker(
        partial(halted, crash=True), leader=True
    ),
    "broker killed, another": lambda cluster: cluster.broker(
        partial(halted, crash=True), leader=False
    ),
    "broker hangs, the leader": lambda cluster: cluster.broker(frozen, leader=True),
    "primary killed, standby promoted": lambda cluster: failed_over(
        cluster.servers.pair, after=PROMOTED_SECONDS
    ),
    "switchover": lambda cluster: failed_over(cluster.servers.pair, clean=True),
}


@pytest.fixture(scope="module")
def cluster(s3, authority, tmp_path_factory):
    nursery = Nursery(tmp_path_factory.mktemp("run"))
    servers = ClusterServers(s3, Random(1))
    deployment = distributed(
        nursery,
        servers.create_database(),
        servers.broker_url,
        s3,
        each=2,
        REPLICATE_TIMEOUT_MS="5000",
        REPLICATE_SAFETY_POLL_MS="500",  # the sandbox trusts no certificate of ours for webhooks
        PROXIES_COUNT="1",
        TTS_ALLOW_ANONYMOUS="1",
    )
    site = Site(authority, *deployment.ports)
    deployment.env["PUBLIC_URL"] = site.url
    deployment.start_all()
    yield Cluster(servers, deployment), site
    deployment.stop()
    site.stop()
    nursery.stop()
    servers.stop()


@contextlib.asynccontextmanager
async def watched(cluster, authority):
    """Users at the site; in the end nothing is lost, paid for twice or missing in a stream."""
    its, site = cluster
    tls = ssl.create_default_context(cafile=authority.file)
    reader = Reader([site.url], tls=tls)
    async with App([site.url], its.deployment.replicate, tls=tls) as app:
        watch = Watch(app, reader)
        running = [asyncio.create_task(work) for work in (reader.run(), watch.run())]
        try:
            yield app, watch
            await watch.end(SETTLED_SECONDS)
            its.accepted |= app.accepted
            assert await verdict(its, reader) == []
        finally:
            its.accepted |= app.accepted
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    # aiohttp ends TLS later than the session that it is for: as soon as the other side has, too.
    with contextlib.suppress(TimeoutError):
        await until(lambda: not open_transports(), "TLS is over", TLS_END_SECONDS)


def open_transports() -> list[object]:
    """Those of this loop; each would be complained about when it is collected."""
    loop = asyncio.get_running_loop()
    return [
        each
        for each in gc.get_objects()
        if type(each) is _SelectorSocketTransport and each._loop is loop and each._sock is not None
    ]


async def verdict(its: Cluster, reader: Reader) -> list[str]:
    """What is wrong after all."""
    url = its.deployment.env["EVENT_STORE_URL"]
    log = evidence.read_log(url)
    await reader.caught_up(log[-1].position)
    texts = evidence.read_texts(url)
    tasks = checker.by_task(log)
    found = checker.nothing_lost_or_invented(tasks, its.accepted, texts)
    found += checker.final_exactly_once(tasks, {task: {"succeeded"} for task in tasks})
    found += checker.paid_once(tasks, texts, evidence.read_journal(its.deployment.journal))
    found += checker.streams_complete(log, {"at the site": reader})
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", FAULTS)
async def test_any_single_machine_may_go(fault, cluster, authority, capsys):
    """Texts are accepted, spoken, heard of and listed again within seconds."""
    async with watched(cluster, authority) as (_, watch):
        await asyncio.sleep(WARM_SECONDS)
        await watch.settled(SETTLED_SECONDS)
        began = time.monotonic()
        harm = FAULTS[fault](cluster[0])
        await asyncio.to_thread(harm.__enter__)
        await asyncio.sleep(AWAY_SECONDS)
        await watch.settled(SETTLED_SECONDS)
        figures = watch.since(began)
        await asyncio.to_thread(harm.__exit__, None, None, None)
        with capsys.disabled():
            print(f"\n  {fault}: {figures}")  # noqa: T201 -- what README has is measured here
    assert figures.accepting < ACCEPTING_SECONDS
    assert figures.processing < PROCESSING_SECONDS
    assert max(figures.streams, figures.lists) < PROCESSING_SECONDS + READING_SECONDS


@pytest.mark.timeout(180)
async def test_an_upgrade_of_one_process_after_the_other_fails_no_request(cluster, authority):
    """Each is stopped and started again: whatever nginx is asked meanwhile it answers at once."""
    its, _ = cluster
    async with watched(cluster, authority) as (app, watch):
        await asyncio.sleep(WARM_SECONDS)
        for kind in ORDER:
            for number in (1, 2):
                name = f"{kind}-{number}"
                await asyncio.to_thread(its.deployment.children[name].stop)
                its.deployment.start(name)
                await until_healthy(its.deployment)
                await asyncio.sleep(WARM_SECONDS)
    assert watch.failures == []
    assert {task.posts for task in app.accepted.values()} == {1}


async def until_healthy(deployment: Deployment) -> None:
    await until(lambda: asyncio.to_thread(deployment.healthy), "the gateways are healthy")
