"""What an order on many dead letters has done, as the gateway and the command line tell it."""

from __future__ import annotations

from tts.application.dead_letters import Outcome
from tts.application.tasks import TaskNotFound
from tts.domain.errors import TaskErased
from tts.ports.errors import Conflict
from tts.wire import BulkAnswer, SkipReason


def bulk_answer(outcome: Outcome, *, dry_run: bool) -> BulkAnswer:
    """The outcome on the wire."""
    return {
        "matched": outcome.matched,
        "taskIds": [str(task_id) for task_id in outcome.done],
        "skipped": len(outcome.skipped),
        "reasons": [
            {"taskId": str(task_id), "code": _reason(refusal), "error": str(refusal)}
            for task_id, refusal in outcome.skipped
        ],
        "remaining": outcome.remaining,
        "next": outcome.next,
        "dryRun": dry_run,
    }


def _reason(refusal: Exception) -> SkipReason:
    if isinstance(refusal, TaskNotFound):
        return "task_not_found"
    if isinstance(refusal, TaskErased):
        return "task_erased"
    return "changed" if isinstance(refusal, Conflict) else "task_not_failed"
