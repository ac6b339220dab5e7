"""What clients may order, over HTTP and WebSocket alike: checked, carried out, and answered."""

from __future__ import annotations

import re
from time import perf_counter

from gateway.access.admission import report_command
from gateway.access.roles import Access
from gateway.errors import InvalidRequest, Later, TaskMismatch
from gateway.metrics import REQUESTS
from gateway.models import CancelRequest, RetryRequest, SpeechRequest, speech_request
from gateway.services import Services
from gateway.taken import UNCOUNTED, Place
from gateway.tasks import task_id_of
from tts.application.tasks import Receipt
from tts.domain.task import Task
from tts.ports.errors import Unavailable
from tts.wire import Accepted, CancelAccepted, RetryAccepted

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Commands:
    """Each one returns when its event is on disk; ``access`` is who asks.

    ``speech_request`` is the model of what :meth:`generate` wants.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._application = services.application
        self._quotas = services.quotas
        self.speech_request = speech_request(services.settings)

    async def generate(
        self,
        order: SpeechRequest,
        access: Access,
        *,
        idempotency_key: str | None,
        traceparent: str | None = None,
    ) -> tuple[Receipt, int]:
        """Accept a text; returns which task it got and the position of the task's newest event.

        Raises:
            InvalidRequest, IdempotencyMismatch, QueueFull, TooManyTasks, CharactersExhausted
        """
        self._services.queue_limit.check()
        if idempotency_key is not None and not IDEMPOTENCY_KEY.fullmatch(idempotency_key):
            raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters")
        began = perf_counter()
        caller = self._services.tracing.caller(traceparent)
        with await self._place(access, len(order.tts_text), idempotency_key) as place:
            receipt, position = await self._application.request(
                template_id=order.template_id,
                text=order.tts_text,
                instruction=order.instruction or "",
                owner=access.owner,
                idempotency_key=idempotency_key,
                priority=order.priority.value,
                callback_url=order.callback_url,
                audio_format=order.audio_format.value if order.audio_format else None,
                traceparent=caller,
            )
            if receipt.version == Task.INITIAL_VERSION:
                place.recorded(position)
        seconds = perf_counter() - began
        REQUESTS.accepted(seconds)
        if receipt.version == Task.INITIAL_VERSION:
            self._services.tracing.accepted(receipt.id, seconds, caller)
        return receipt, position

    async def retry(self, order: RetryRequest, access: Access) -> RetryAccepted:
        """Give a failed task another round of attempts; returns the answer.

        Raises:
            TaskNotFound, TaskMismatch, TransitionRefused, TooManyTasks
        """
        task_id = task_id_of(order.task_id)
        text = None
        if order.tts_text is not None:
            payload = await self._application.store.payload(task_id)
            text = payload.text if payload else None

        def check(task: Task) -> None:
            if order.template_id not in {None, task.template_id}:
                raise TaskMismatch(
                    f"templateId: the task has {task.template_id}", task_id=order.task_id
                )
            if text not in {None, order.tts_text}:
                raise TaskMismatch("tts_text: the task has another text", task_id=order.task_id)

        # An operator's retry counts as the owner's of the task, and nobody refuses it.
        is_own = access.scope is not None or not access.key_id
        with await self._quotas.take(access, 0) if is_own else UNCOUNTED as place:
            task, position = await self._application.retry(
                task_id,
                by=access.owner or "client",
                reason="requested by the client",
                scope=access.scope,
                check=check,
            )
            place.recorded(position)
        report_command(access, "retry", f"task {task_id}", owner=task.owner)
        return {
            "taskId": str(task_id),
            "message": "Retry initiated successfully",
            "position": position,
        }

    async def cancel(self, order: CancelRequest, access: Access) -> CancelAccepted:
        """Ask for the end of a task; the answer's status says whether it is there already.

        Raises:
            TaskNotFound, TransitionRefused
        """
        task_id = task_id_of(order.task_id)
        task, position = await self._application.cancel(
            task_id,
            by=access.owner or "client",
            reason="requested by the client",
            scope=access.scope,
        )
        report_command(access, "cancel", f"task {task_id}", owner=task.owner)
        return {
            "taskId": str(task_id),
            "message": "Cancellation requested",
            "status": task.status.value,
            "position": position,
        }

    async def _place(self, access: Access, characters: int, idempotency_key: str | None) -> Place:
        """The place of a new task; a request that is only repeated needs none.

        Raises:
            TooManyTasks, CharactersExhausted, Unavailable
        """
        try:
            return await self._quotas.take(access, characters)
        except (Later, Unavailable):
            if await self._application.is_repeated(access.owner, idempotency_key):
                return UNCOUNTED
            raise


def started(receipt: Receipt, position: int) -> Accepted:
    """The answer to a request that was accepted and goes on."""
    return {
        "taskId": str(receipt.id),
        "message": "Audio generation started",
        "status": "started",
        "position": position,
    }
