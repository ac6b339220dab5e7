"""The sandbox: alone, or brought along by `tts up`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from errno import EADDRINUSE
from functools import partial
from pathlib import Path

from tts.cli.data_folder import check_folder
from tts.cli.output import echo
from tts.cli.process import Part
from tts.config import ConfigError, Settings
from tts.ports.errors import Unavailable


async def sandbox(settings: Settings, stack: AsyncExitStack, faults: Path | None) -> list[Part]:
    """The sandbox alone."""
    from tts.sandbox import start_sandbox  # noqa: PLC0415 -- who has an account needs none

    check_folder(settings.data_dir)
    with _named(settings):
        running = await start_sandbox(
            host=settings.host,
            port=settings.sandbox_port,
            data_dir=settings.data_dir / "sandbox",
            faults_file=faults,
            allowed_hosts=settings.allowed_hosts,
        )
    stack.push_async_callback(running.stop)
    echo(f"Sandbox: {running.url}  (GET {running.url}/sandbox tells what it can do)")
    return [_for_ever]


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def with_sandbox(settings: Settings, stack: AsyncExitStack, *, keep: bool) -> Settings:
    """Start one, on another port if its own is taken; ``keep`` its predictions or not.

    Raises:
        Unavailable: SANDBOX_PORT is set, and taken.
    """
    from tts.sandbox import start_sandbox  # noqa: PLC0415 -- who has an account needs none

    start = partial(start_sandbox, data_dir=settings.data_dir / "sandbox" if keep else None)
    with _named(settings):
        try:
            running = await start(port=settings.sandbox_port)
        except OSError as error:
            if error.errno != EADDRINUSE or "sandbox_port" in settings.chosen:
                raise
            running = await start(port=0)
            echo(f"Port {settings.sandbox_port} is taken, so the sandbox takes a free one.")
    stack.push_async_callback(running.stop)
    echo(f"REPLICATE_API_TOKEN is not set: speech comes from the local sandbox at {running.url}.")
    changes = {"replicate_base_url": running.url}
    if "template_base_url" not in settings.chosen:
        changes["template_base_url"] = running.url
    return settings.model_copy(update=changes)


@contextlib.contextmanager
def _named(settings: Settings) -> Iterator[None]:
    """Say in a sentence why a sandbox cannot start."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"DATA_DIR: what the sandbox keeps in {settings.data_dir / 'sandbox'} is damaged: "
            "remove that folder; the sandbox then begins anew"
        ) from error
    except OSError as error:
        if error.filename is not None:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error
        raise Unavailable(
            f"SANDBOX_PORT: cannot listen on port {settings.sandbox_port}: {error.strerror}; "
            "stop what listens there, or set another"
        ) from error
