"""Threads for what takes a core for long: those of asyncio stay free for what waits for disks.

Else a look at the audio store would stand in line behind the encoding of a crowd of audio, and the
store would be taken for away.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sound")


async def computed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns, with no more at once than there are cores."""
    call = partial(contextvars.copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)
