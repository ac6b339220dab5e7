"""The servers of a test run: each is started by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3
from tests.services.stores import Backend


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for the whole run; take ``postgres.create_database()`` for each test."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ for the whole run; take ``rabbitmq.create_vhost()`` for each test."""
    server = RabbitMQ()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server for the whole run; its buckets are shared."""
    server = S3()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A fresh database of either kind."""
    if request.param == "sqlite":
        return Backend(f"sqlite:///{tmp_path / 'tts.db'}")
    server: Postgres = request.getfixturevalue("postgres")
    return Backend(server.create_database(), server)
