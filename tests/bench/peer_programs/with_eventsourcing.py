"""FastAPI + eventsourcing: an application as its manual has it, on its PostgreSQL recorder."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from front import Order, accepted, application, serve


class Task(Aggregate):
    """A task that was asked for."""

    @event("Requested")
    def __init__(self, template_id: str, text: str) -> None:
        self.template_id = template_id
        self.text = text


class Tasks(Application[UUID]):
    """The use case."""

    def request(self, order: Order) -> str:
        """Take in, and return the task's id."""
        task = Task(order.templateId, order.tts_text)
        self.save(task)
        return str(task.id)


at = urlsplit(sys.argv[2])
tasks = Tasks(
    env={
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": at.path[1:],
        "POSTGRES_HOST": str(at.hostname),
        "POSTGRES_PORT": str(at.port),
        "POSTGRES_USER": str(at.username),
        "POSTGRES_PASSWORD": "none is asked for",
    }
)
app = application()


@app.post("/api/tts", status_code=202)
def accept(order: Order) -> dict[str, Any]:
    """In a thread, as FastAPI wants it for calls that block."""
    return accepted(tasks.request(order))


if __name__ == "__main__":
    serve(app)
