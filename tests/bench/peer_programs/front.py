"""The same front for all peers in Python: FastAPI takes a request for speech, on uvicorn."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Order(BaseModel):
    """What is to be spoken."""

    templateId: str  # noqa: N815 -- the wire's name
    tts_text: str


def application(lifespan: Any = None) -> FastAPI:
    """An application without a route yet; ``lifespan`` opens what it needs."""
    return FastAPI(lifespan=lifespan)


def new_id() -> str:
    """An id for a task."""
    return str(uuid4())


def accepted(task_id: str) -> dict[str, Any]:
    """The answer."""
    return {"success": True, "data": {"taskId": task_id, "status": "started"}}


def serve(app: FastAPI) -> None:
    """One process, on the port of the command line."""
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="error")
