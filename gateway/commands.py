"""What clients may order, over HTTP and WebSocket alike: checked, carried out, and answered."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any
from uuid import UUID

from gateway.access.roles import Access
from gateway.errors import InvalidRequest, TaskMismatch
from gateway.metrics import REQUESTS
from gateway.models import CancelRequest, RetryRequest, SpeechRequest, speech_request
from gateway.services import Services
from gateway.tasks import events_of, task_id_of
from tts.domain.task import Task

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Commands:
    """Each one returns when its event is on disk; ``access`` is who asks.

    ``speech_request`` is the model of what :meth:`generate` wants.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._application = services.application
        self.speech_request = speech_request(services.settings)

    async def generate(
        self, wanted: SpeechRequest, access: Access, *, idempotency_key: str | None
    ) -> tuple[Task, int]:
        """Accept a text; returns the task and the position of its newest event.

        Raises:
            InvalidRequest, IdempotencyMismatch, QueueFull
        """
        self._services.queue_limit.check()
        if idempotency_key is not None and not IDEMPOTENCY_KEY.fullmatch(idempotency_key):
            raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters")
        began = perf_counter()
        accepted = await self._application.request(
            template_id=wanted.template_id,
            text=wanted.tts_text,
            instruction=wanted.instruction or "",
            owner=access.owner,
            idempotency_key=idempotency_key,
            priority=wanted.priority.value,
        )
        REQUESTS.accepted(perf_counter() - began)
        return accepted

    async def retry(self, wanted: RetryRequest, access: Access) -> dict[str, Any]:
        """Give a failed task another round of attempts; returns the answer.

        Raises:
            TaskNotFound, TaskMismatch, TransitionRefused
        """
        task_id = task_id_of(wanted.task_id)
        task = await self._task(task_id, access)
        if wanted.template_id not in {None, task.template_id}:
            raise TaskMismatch(
                f"templateId: the task has {task.template_id}", task_id=wanted.task_id
            )
        if wanted.tts_text is not None:
            said = await self._application.store.payload(task_id)
            if said is not None and said.text != wanted.tts_text:
                raise TaskMismatch("tts_text: the task has another text", task_id=wanted.task_id)
        _, position = await self._application.retry(
            task_id, by=access.owner or "client", reason="requested by the client"
        )
        return {
            "taskId": str(task_id),
            "message": "Retry initiated successfully",
            "position": position,
        }

    async def cancel(self, wanted: CancelRequest, access: Access) -> dict[str, Any]:
        """Ask for the end of a task; the answer's status says whether it is there already.

        Raises:
            TaskNotFound, TransitionRefused
        """
        task_id = task_id_of(wanted.task_id)
        await self._task(task_id, access)
        task, position = await self._application.cancel(
            task_id, by=access.owner or "client", reason="requested by the client"
        )
        return {
            "taskId": str(task_id),
            "message": "Cancellation requested",
            "status": task.status.value,
            "position": position,
        }

    async def _task(self, task_id: UUID, access: Access) -> Task:
        events = await events_of(self._services, task_id, access.scope)
        task = self._application.replay(events)
        assert task is not None  # noqa: S101 -- there is at least one event
        return task


def started(task: Task, position: int) -> dict[str, Any]:
    """The answer to a request that was accepted and goes on."""
    return {
        "taskId": str(task.id),
        "message": "Audio generation started",
        "status": "started",
        "position": position,
    }
