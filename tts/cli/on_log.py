"""Commands that work on the log itself, whether or not the service runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from projections.database import open_database
from tts.bootstrap import compose
from tts.cli.data_folder import settings_of_a_log
from tts.cli.options import data_option
from tts.cli.process import PRIVATE

Work = Callable[..., Awaitable[None]]
"""What a command does with the parts, and with the read models if it needs them."""


def on_log(work: Work) -> Callable[..., None]:
    """A command with ``--data``, whose first argument are the parts over the log that is there."""

    @data_option("the SQLite files")
    @wraps(work)
    def command(*, data_dir: Path | None, **options: Any) -> None:
        async def run() -> None:
            async with compose(settings_of_a_log(data_dir)) as parts:
                await work(parts, **options)

        os.umask(PRIVATE)
        asyncio.run(run())

    return command


def on_read_models(work: Work) -> Callable[..., None]:
    """The same, with the database of the read models behind the parts."""

    @on_log
    @wraps(work)
    async def run(parts: Any, **options: Any) -> None:
        async with open_database(parts.settings.store_url, parts.settings.direct_url) as database:
            await work(parts, database, **options)

    return run
