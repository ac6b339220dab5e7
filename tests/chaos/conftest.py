"""Servers that may be wiped, and one nursery for all crash tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.nursery import Nursery
from tests.chaos.servers import Servers
from tests.services.rabbitmq import RabbitMQ


@pytest.fixture(scope="package")
def servers(postgres, s3) -> Iterator[Servers]:
    """A RabbitMQ of our own: others keep vhosts, which do not outlive a wipe."""
    rabbitmq = RabbitMQ()
    yield Servers(postgres, rabbitmq, s3)
    rabbitmq.stop()


@pytest.fixture
def nursery(tmp_path) -> Iterator[Nursery]:
    """Its children's logs lie in the test's folder."""
    nursery = Nursery(tmp_path / "run")
    yield nursery
    nursery.stop()
