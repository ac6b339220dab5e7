"""The parts together run on the loop of production."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on uvloop, as ``tts`` does."""
    return {"uvloop": uvloop.new_event_loop}
