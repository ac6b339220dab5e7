"""The parts together run on the loop of production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.world import World, open_world


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on uvloop, as ``tts`` does."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A whole service in an empty folder, but for its processors."""
    async with open_world(tmp_path, monkeypatch) as world:
        yield world
