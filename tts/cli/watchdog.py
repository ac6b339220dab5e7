"""Tells systemd that the event loop turns: a process that hangs is ended by it, and started anew.

See ``WatchdogSec`` in systemd.service(5) and the protocol in sd_notify(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping


@contextlib.asynccontextmanager
async def watchdog(environ: Mapping[str, str] = os.environ) -> AsyncIterator[None]:
    """Tell it while the block is open, if this process is the one that is watched."""
    if environ.get("WATCHDOG_PID") != str(os.getpid()):  # perhaps a parent of ours
        yield
        return
    telling = asyncio.create_task(
        _tell(environ["NOTIFY_SOCKET"], int(environ["WATCHDOG_USEC"]) / 1e6 / 2)
    )
    try:
        yield
    finally:
        telling.cancel()


async def _tell(address: str, pause: float) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.setblocking(False)  # noqa: FBT003 -- as the library has it
        while True:
            with contextlib.suppress(OSError):  # systemd begins anew: the next one is heard
                notify.sendto(b"WATCHDOG=1", address.replace("@", "\0", 1))
            await asyncio.sleep(pause)
