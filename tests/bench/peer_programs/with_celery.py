"""FastAPI + Celery: a persistent message to a quorum queue, and its confirm is waited for."""

from __future__ import annotations

import sys

from celery import Celery
from front import Order, accepted, application, new_id, serve

celery = Celery("bench", broker=sys.argv[2])
celery.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_default_queue_type="quorum",
    task_ignore_result=True,
)


@celery.task(name="speak")
def speak(template_id: str, text: str) -> None:
    """What a worker would do."""


app = application()


@app.post("/api/tts", status_code=202)
def accept(order: Order) -> dict[str, object]:
    """In a thread, as FastAPI wants it for calls that block."""
    task_id = new_id()
    speak.apply_async((order.templateId, order.tts_text), task_id=task_id)
    return accepted(task_id)


if __name__ == "__main__":
    serve(app)
