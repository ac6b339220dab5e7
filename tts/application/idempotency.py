"""Which task stands for an owner's Idempotency-Key."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tts.domain.naming import idempotent_task_id, idempotent_task_id_before
from tts.ports.log import EventStore, LogSecret


class IdempotentIds:
    """The ids that stand for idempotency keys, told with the secret that is beside the log."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._secret: LogSecret | None = None

    async def of(self, owner: str, idempotency_key: str) -> Sequence[UUID]:
        """The id of a task that is requested now, and after it those of tasks from before."""
        secret = self._secret
        if secret is None:
            secret = self._secret = await self._store.secret()
        now = idempotent_task_id(secret.key, owner, idempotency_key)
        if not secret.position:
            return (now,)
        return (now, idempotent_task_id_before(owner, idempotency_key))
