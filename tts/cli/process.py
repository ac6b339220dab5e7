"""One process: builds its parts, runs them until a signal or a failure, and closes everything."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from tts.cli.data_folder import readable_by_others
from tts.cli.memory import return_large_blocks
from tts.cli.watchdog import watchdog
from tts.cli.worker import Worker, inherited
from tts.config import ConfigError, Settings, load, strange_names
from tts.observability.logs import configure_logging

logger = logging.getLogger(__name__)

PRIVATE = 0o077  # what others may not do with the files that we make: anything

FEWEST_FILES = 64

Part = Callable[[], Coroutine[Any, Any, None]]
Build = Callable[[Settings, AsyncExitStack], Awaitable[list[Part]]]


def run_process(build: Build, overrides: dict[str, Any]) -> None:
    """Build the parts, run them until a signal or a failure, and close what was opened."""
    os.umask(PRIVATE)
    settings = load(**overrides)
    configure_logging(settings.log_level, settings.log_format)
    for trouble in (*strange_names(), *readable_by_others(settings)):
        logger.warning("%s", trouble)
    _raise_file_limit()
    return_large_blocks()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(build, settings, inherited()))


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: every stream is one, and 1,024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < FEWEST_FILES:
        raise ConfigError(
            f"only {most} files may be open at a time: raise ulimit -n to {FEWEST_FILES} or more"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """Have it leave alone what lives as long as the process.

    Requests leave no circles behind, and each look for some costs a twentieth of accepting.
    """
    gc.freeze()


async def _until_stopped(build: Build, settings: Settings, worker: Worker | None) -> None:
    stop = asyncio.Event()
    if worker is not None:
        worker.watch(stop.set)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    async with watchdog(), AsyncExitStack() as stack:
        # It may wait for a server, which whoever stops it does not.
        building = asyncio.ensure_future(build(settings, stack))
        try:
            await asyncio.wait([building, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not building.done():
                building.cancel()
                await asyncio.wait([building])
        if building.cancelled():
            return
        _spare_the_collector()
        parts = [asyncio.create_task(part()) for part in building.result()]
        if worker is not None:
            worker.say_ready()
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
