"""The log and the read models of one database of either kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from projections.database import open_database
from projections.ports import Database
from tests.services.stores import Backend, Store


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """The log, open."""
    async with backend.store() as store:
        yield store


@pytest.fixture
async def database(backend: Backend) -> AsyncIterator[Database]:
    """The read models, open."""
    async with open_database(backend.url) as database:
        yield database
