"""The servers of a test run: each is started by the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings

from projections.database import open_database
from projections.ports import Database
from tests.remembered import remember
from tests.services.clock import Clock
from tests.services.postgres import Postgres
from tests.services.postgres_pair import PostgresPair
from tests.services.rabbitmq import RabbitMQ
from tests.services.rabbitmq_cluster import RabbitMQCluster
from tests.services.s3 import S3
from tests.services.stores import Backend, Store
from tests.services.tls import Authority
from tts.queue.memory import MemoryQueue
from tts.queue.rabbitmq import RabbitMQ as RabbitQueue

remember()

# Whoever says nothing else waits five seconds for an answer: on a machine that others use too few.
vars(DEFAULT_TIMEOUT_CONFIG).update(vars(httpx.Timeout(60)))

# The last file to begin is the one that every worker waits for: these take long.
_FIRST = (
    "tests/chaos/",
    "tests/clients/test_browser.py",
    "tests/integration/processor/",
    "tests/integration/gateway/test_description.py",
    "tests/unit/test_config_values.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))


# A machine that others use may be slow in any one example, and in making them up.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A command that runs inside a test makes its own files private, and nobody else's after it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for the whole run; take ``postgres.create_database()`` for each test."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq(authority: Authority) -> Iterator[RabbitMQ]:
    """A RabbitMQ for the whole run; take ``rabbitmq.create_vhost()`` for each test."""
    server = RabbitMQ(certificate=authority.certificate())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server for the whole run; its buckets are shared."""
    server = S3()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cluster_of_the_run() -> Iterator[RabbitMQCluster]:
    """Tests take ``rabbitmq_cluster``."""
    cluster = RabbitMQCluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def rabbitmq_cluster(cluster_of_the_run: RabbitMQCluster) -> RabbitMQCluster:
    """Three brokers, whole at first, whatever the test before did; ``create_vhost()`` for each."""
    cluster_of_the_run.mend()
    return cluster_of_the_run


@pytest.fixture(scope="session")
def pair_of_the_run() -> Iterator[PostgresPair]:
    """Tests take ``postgres_pair``."""
    pair = PostgresPair()
    yield pair
    pair.stop()


@pytest.fixture
def postgres_pair(pair_of_the_run: PostgresPair) -> PostgresPair:
    """A primary and its standby, whole at first; ``create_database()`` for each test."""
    pair_of_the_run.mend()
    return pair_of_the_run


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Signs the certificates of the run."""
    authority = Authority()
    yield authority
    authority.remove()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A wall clock that a test can set, for the processes that get its ``env``."""
    clock = Clock()
    yield clock
    clock.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A fresh database of either kind."""
    if request.param == "sqlite":
        return Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    server: Postgres = request.getfixturevalue("postgres")
    return Backend(server.create_database(), server)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """The log in it, open."""
    async with backend.store() as store:
        yield store


@pytest.fixture
async def database(backend: Backend) -> AsyncIterator[Database]:
    """The read models of it, open."""
    async with open_database(backend.url) as database:
        yield database


@pytest.fixture(params=["memory", "rabbitmq"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[MemoryQueue | RabbitQueue]:
    """An empty queue of either kind."""
    queue = (
        MemoryQueue()
        if request.param == "memory"
        else RabbitQueue(request.getfixturevalue("rabbitmq").create_vhost())
    )
    yield queue
    await queue.aclose()
