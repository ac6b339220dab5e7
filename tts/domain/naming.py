"""How things are named: tasks, objects in the audio store, and the fingerprint of a text."""

from __future__ import annotations

import hashlib
import secrets
import time
from uuid import UUID, uuid5

PART_PREFIX = "part-"
PARTS_KEPT_DAYS = 1  # by both audio stores: until nobody plays the parts any more
IDEMPOTENCY_NAMESPACE = UUID("6f1d7e9a-52b0-4b1e-9a43-0c8a3d8f2b61")


def object_key(task_id: UUID) -> str:
    """Where a task's audio lies; the same at every try, so that a repetition overwrites."""
    return f"audio-{task_id}.wav"


def part_key(task_id: UUID, index: int) -> str:
    """Where the audio of one segment of a long text lies until the whole does."""
    return f"{PART_PREFIX}{task_id}-{index:03d}.wav"


def task_id_for(owner: str, idempotency_key: str | None) -> UUID:
    """A new id, or the one that stands for the owner's idempotency key."""
    if idempotency_key is None:
        return new_task_id()
    return uuid5(IDEMPOTENCY_NAMESPACE, f"{owner}\0{idempotency_key}")


def new_task_id() -> UUID:
    """A UUIDv7 (RFC 9562): new ids stand together in every index, so a commit touches few pages."""
    milliseconds = time.time_ns() // 1_000_000
    drawn = secrets.randbits(74)
    return UUID(
        int=milliseconds << 80 | 7 << 76 | drawn >> 62 << 64 | 2 << 62 | drawn & (1 << 62) - 1
    )


def hash_payload(text: str, instruction: str, salt: str) -> str:
    """A fingerprint that says nothing about a short text once the salt is erased with it."""
    words = f"{text}\0{instruction}".encode()
    return hashlib.blake2b(words, key=salt.encode(), digest_size=16).hexdigest()
