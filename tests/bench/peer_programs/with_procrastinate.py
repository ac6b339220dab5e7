"""FastAPI + Procrastinate: each job is a row, committed in PostgreSQL."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from front import Order, accepted, application, new_id, serve
from procrastinate import App, PsycopgConnector

CONNECTIONS = 16  # it would have 4, with which most of 64 clients wait

logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it warns of an app in __main__
jobs = App(connector=PsycopgConnector(conninfo=sys.argv[2], max_size=CONNECTIONS))


@jobs.task(name="speak")
async def speak(task_id: str, template_id: str, text: str) -> None:
    """What a worker would do."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool of connections, and the tables."""
    async with jobs.open_async():
        await jobs.schema_manager.apply_schema_async()
        yield


app = application(lifespan)


@app.post("/api/tts", status_code=202)
async def accept(order: Order) -> dict[str, Any]:
    """Take in."""
    task_id = new_id()
    await speak.defer_async(task_id=task_id, template_id=order.templateId, text=order.tts_text)
    return accepted(task_id)


if __name__ == "__main__":
    serve(app)
