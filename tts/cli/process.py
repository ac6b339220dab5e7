"""One process: builds its parts, runs them until a signal or a failure, and closes everything."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from tts.config import Settings, load
from tts.observability.logs import configure_logging

Part = Callable[[], Coroutine[Any, Any, None]]
Build = Callable[[Settings, AsyncExitStack], Awaitable[list[Part]]]


def run_process(build: Build, overrides: dict[str, Any]) -> None:
    """Build the parts, run them until a signal or a failure, and close what was opened."""
    settings = load(**overrides)
    configure_logging(settings.log_level, settings.log_format)
    _raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(build, settings))


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: every stream is one, and 1,024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _until_stopped(build: Build, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        parts = [asyncio.create_task(part()) for part in await build(settings, stack)]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*parts, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # In the order given: who takes orders in stops before who works them off.
            for part in [stopped, *parts]:
                part.cancel()
                await asyncio.wait([part])
        for part in parts:
            if not part.cancelled():
                part.result()
