"""``--workers``: which processes there are, and on which sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from tts.cli.greeting import greet
from tts.cli.process import PRIVATE
from tts.cli.supervisor import CannotStart, Job, Supervisor
from tts.config import Settings, load
from tts.http.listening import bind
from tts.observability.logs import configure_logging
from tts.ports.errors import Unavailable


def supervise(command: Literal["up", "gateway"], workers: int, overrides: dict[str, Any]) -> None:
    """Run so many gateways on one port, and for ``up`` everything else in a process beside them.

    Raises:
        Unavailable: the port is taken, or a process cannot start.
    """
    os.umask(PRIVATE)
    settings = load(**overrides)
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(_supervise(command, workers, settings, _options(overrides)))


async def _supervise(
    command: str, workers: int, settings: Settings, options: Sequence[str]
) -> None:
    # Shared sockets would be bound beside those of another service; this one is refused.
    with bind(settings.host, settings.port) as alone:
        settings = settings.model_copy(update={"port": alone.getsockname()[1]})
    listener = partial(bind, settings.host, settings.port, shared=True)
    jobs = [Job(["up", *options])] if command == "up" else []
    jobs += [Job(["gateway", *options], listener) for _ in range(workers)]
    supervisor = Supervisor(jobs, settings.shutdown_seconds, greet=lambda: greet(settings))
    try:
        await supervisor.run()
    except CannotStart as error:
        raise Unavailable(str(error)) from error


def _options(overrides: dict[str, Any]) -> list[str]:
    """The command line's words again."""
    names = {"host": "--host", "port": "--port", "data_dir": "--data"}
    given = {names[name]: value for name, value in overrides.items() if value is not None}
    return [word for name, value in given.items() for word in (name, str(value))]
