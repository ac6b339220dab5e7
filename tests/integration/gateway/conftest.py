"""A gateway with its defaults, clients of it, and its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.gateway.gateway_under_test import NOON, Clock, Running, running
from tests.integration.gateway.guarded_gateway import Guarded, guarded
from tests.integration.gateway.socket_client import Client, client_of
from tts.bootstrap import Composition


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all gateways; it stands still until the test moves it."""
    clock = Clock()
    monkeypatch.setattr(Composition, "now", staticmethod(lambda: clock.now))
    return clock


@pytest.fixture
def by_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """No midnight comes: it was noon when the test began."""
    began = datetime.now(UTC)
    now = staticmethod(lambda: NOON + (datetime.now(UTC) - began))
    monkeypatch.setattr(Composition, "now", now)
