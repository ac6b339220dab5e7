"""A gateway with its defaults, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.gateway.gateway_under_test import Running, running
from tests.integration.gateway.guarded_gateway import Guarded, guarded
from tests.integration.gateway.socket_client import Client, client_of


@pytest.fixture
async def its(tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway without keys, and a client of its HTTP API."""
    async with running(tmp_path) as its:
        yield its


@pytest.fixture
async def client(its: Running) -> AsyncIterator[Client]:
    """A WebSocket of it."""
    async with client_of(its) as client:
        yield client


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A gateway with keys, and the headers of each kind of client."""
    async with guarded(tmp_path) as site:
        yield site
