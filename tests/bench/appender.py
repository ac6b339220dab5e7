"""Appends events from many tasks at once for a while and prints how many a second were on disk.

``ours`` is the store of the service; ``shipped`` is the recorder of ``eventsourcing`` with its own
settings, called from a thread for each task.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import uvloop
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

from tests.histories import new_task, stored
from tts.store.postgres import PostgresStore

(SAMPLE,) = stored(new_task(Random(1)))


def event(task_id: UUID, version: int) -> StoredEvent:
    """An event as the service writes it; what is in it does not matter to a store."""
    return replace(SAMPLE, originator_id=task_id, originator_version=version)


async def ours(url: str, tasks: int, seconds: float) -> float:
    """A task of asyncio for each task."""
    store = PostgresStore(url)
    await store.open()
    began = time.monotonic()
    deadline = began + seconds

    async def one() -> int:
        task_id = uuid4()
        for version in count(1):
            if time.monotonic() >= deadline:
                return version - 1
            await store.append([event(task_id, version)])
        return 0

    written = await asyncio.gather(*(one() for _ in range(tasks)))
    rate = sum(written) / (time.monotonic() - began)
    await store.aclose()
    return rate


def shipped(url: str, tasks: int, seconds: float) -> float:
    """A thread for each task."""
    at = urlsplit(url)
    factory = InfrastructureFactory.construct(
        Environment(
            "bench",
            {
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": at.path[1:],
                "POSTGRES_HOST": str(at.hostname),
                "POSTGRES_PORT": str(at.port),
                "POSTGRES_USER": str(at.username),
                "POSTGRES_PASSWORD": "none is asked for",
            },
        )
    )
    recorder = factory.application_recorder()
    began = time.monotonic()
    deadline = began + seconds
    written = [0] * tasks

    def one(number: int) -> None:
        task_id = uuid4()
        while time.monotonic() < deadline:
            recorder.insert_events([event(task_id, written[number] + 1)])
            written[number] += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(written) / (time.monotonic() - began)
    factory.close()
    return rate


KINDS: dict[str, Callable[[str, int, float], float]] = {
    "ours": lambda *how: uvloop.run(ours(*how)),
    "shipped": shipped,
}

if __name__ == "__main__":
    print(KINDS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))  # noqa: T201
