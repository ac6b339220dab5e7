"""Death at a chosen point: kills this very process before or after a call to the resources.

A point is written ``before append tts.task.dequeued`` or ``after create``: a moment, a port, and
for some ports what the call must be about. ``PORTS`` lists them. Nothing in the service knows of
this: the classes behind the ports are patched, in a process that tests have forked.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tts.audio.folder import FolderAudio
from tts.audio.minio import MinioAudio
from tts.queue.memory import MemoryQueue
from tts.queue.rabbitmq import RabbitMQ
from tts.replicate.predictions import ReplicatePredictions
from tts.store.postgres import PostgresStore
from tts.store.sqlite import SQLiteStore
from tts.templates import HttpTemplates

Subjects = Callable[..., set[str]]


def _nothing(*_: Any, **__: Any) -> set[str]:
    return {""}


def _topics(events: Any, _payload: Any = None) -> set[str]:
    return {event.topic for event in events}


def _name(name: str, _position: int) -> set[str]:
    return {name}


def _destination(message: Any) -> set[str]:
    return {message.destination.value}


STORES = (SQLiteStore, PostgresStore)
PORTS: dict[str, tuple[tuple[type, ...], str, Subjects]] = {
    "append": (STORES, "append", _topics),
    "checkpoint": (STORES, "save_checkpoint", _name),
    "publish": ((MemoryQueue, RabbitMQ), "publish", _destination),
    "fetch": ((HttpTemplates,), "fetch", _nothing),
    "create": ((ReplicatePredictions,), "create", _nothing),
    "find": ((ReplicatePredictions,), "find", _nothing),
    "get": ((ReplicatePredictions,), "get", _nothing),
    "cancel": ((ReplicatePredictions,), "cancel", _nothing),
    "download": ((ReplicatePredictions,), "download", _nothing),
    "put": ((FolderAudio, MinioAudio), "put", _nothing),
}


def arm(point: str, epitaph: Path) -> None:
    """From now on this process dies at ``point``, and its last words go to ``epitaph``."""
    moment, port, *about = point.split(" ")
    if moment not in {"before", "after"}:
        raise ValueError(f"a point begins with before or after: {point!r}")
    kinds, method, subjects = PORTS[port]
    wanted = about[0] if about else ""

    def die() -> None:
        epitaph.write_text(point)
        os.kill(os.getpid(), signal.SIGKILL)

    def mortal(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        async def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            due = wanted in subjects(*args, **kwargs) if about else True
            if due and moment == "before":
                die()
            result = await call(self, *args, **kwargs)
            if due and moment == "after":
                die()
            return result

        return wrapped

    for kind in kinds:
        setattr(kind, method, mortal(getattr(kind, method)))
