"""FastAPI + taskiq-aio-pika: a persistent message to a quorum queue, and its confirm is awaited."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from front import Order, accepted, application, new_id, serve
from taskiq.kicker import AsyncKicker
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

broker = AioPikaBroker(sys.argv[2]).with_queue(Queue(name="tasks", type=QueueType.QUORUM))


@broker.task(task_name="speak")
async def speak(template_id: str, text: str) -> None:
    """What a worker would do."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The connection to the broker."""
    await broker.startup()
    yield
    await broker.shutdown()


app = application(lifespan)


@app.post("/api/tts", status_code=202)
async def accept(order: Order) -> dict[str, Any]:
    """Take in."""
    task_id = new_id()
    kicker: AsyncKicker[Any, Any] = speak.kicker().with_task_id(task_id)
    await kicker.kiq(order.templateId, order.tts_text)
    return accepted(task_id)


if __name__ == "__main__":
    serve(app)
