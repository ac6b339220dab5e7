"""Commits events at a steady rate and prints when each commit returned (monotonic seconds)."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import psycopg
import uvloop

from tests.builders import application
from tts.store.postgres import PostgresStore

TEMPLATE = "Z" + "x" * 63  # the mark that subscribers count


async def commit(kind: str, url: str, count: int, per_second: int) -> list[float]:
    """Each commit begins at its time, however long the one before takes."""
    done = [0.0] * count
    if kind == "ours":
        store = PostgresStore(url)
        await store.open()
        app = application(store)

        async def one(n: int) -> None:
            await app.request(template_id=TEMPLATE, text="x")
            done[n] = time.monotonic()
    else:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        payload = json.dumps({"templateId": TEMPLATE, "padding": "x" * 160})

        async def one(n: int) -> None:
            await connection.execute("SELECT pg_notify('bench', %s)", (payload,))
            done[n] = time.monotonic()

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for n in range(count):
            await asyncio.sleep(max(0.0, started + n / per_second - time.monotonic()))
            group.create_task(one(n))
    return sorted(done)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(commit(*sys.argv[1:3], *map(int, sys.argv[3:5])))))  # type: ignore[call-arg]  # noqa: T201
