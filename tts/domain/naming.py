"""How things are named: tasks, objects in the audio store, and the fingerprint of a text."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from typing import NamedTuple, Self
from uuid import UUID, uuid5

from tts.domain.values import AudioFormat

AUDIO_PREFIX = "audio-"
PART_PREFIX = "part-"
PARTS_KEPT_DAYS = 1  # by both audio stores: until nobody plays the parts any more
LOT_BYTES = 30
LOTS_AT_ONCE = 256
IDEMPOTENCY_NAMESPACE = UUID("6f1d7e9a-52b0-4b1e-9a43-0c8a3d8f2b61")


class Lot(NamedTuple):
    """What is random about one request: a new task's id, a salt, a part of its audio's names."""

    task_id: UUID
    salt: str
    audio_suffix: str

    @classmethod
    def draw(cls) -> Self:
        """Another one."""
        try:
            drawn = _STOCK.pop()
        except IndexError:
            # Many at once: each call lets go of the interpreter's lock, and waits to have it back.
            stock = secrets.token_bytes(LOT_BYTES * LOTS_AT_ONCE)
            _STOCK.extend(stock[at : at + LOT_BYTES] for at in range(0, len(stock), LOT_BYTES))
            drawn = _STOCK.pop()
        return cls(_task_id(drawn[:10]), drawn[10:18].hex(), drawn[18:].hex())


_ENDINGS = frozenset(AudioFormat)
_STOCK: list[bytes] = []
os.register_at_fork(after_in_child=_STOCK.clear)  # else the child would draw the same lots


def object_key(task_id: UUID, suffix: str | None, audio_format: str = AudioFormat.WAV.value) -> str:
    """Where a task's audio lies; the same at every try, so that a repetition overwrites.

    The ``suffix`` keeps it from those who can tell the id; a task from before has none.
    """
    return f"{AUDIO_PREFIX}{_stem(task_id, suffix)}.{audio_format}"


def format_of(key: str) -> AudioFormat:
    """What the object is stored as, by its name."""
    _, _, ending = key.rpartition(".")
    return AudioFormat(ending) if ending in _ENDINGS else AudioFormat.WAV


def part_key(task_id: UUID, suffix: str | None, index: int) -> str:
    """Where the audio of one segment of a long text lies until the whole does."""
    return f"{PART_PREFIX}{_stem(task_id, suffix)}-{index:03d}.wav"


def idempotent_task_id(key: bytes, owner: str, idempotency_key: str) -> UUID:
    """The id that stands for the owner's idempotency key, for all who have the secret ``key``."""
    digest = hmac.digest(key, f"{owner}\0{idempotency_key}".encode(), "sha256")
    number = int.from_bytes(digest[:16])
    # A UUIDv8 (RFC 9562): its maker decides about all bits but the version and the variant.
    return UUID(int=number & ~(0xF << 76 | 3 << 62) | 8 << 76 | 2 << 62)


def idempotent_task_id_before(owner: str, idempotency_key: str) -> UUID:
    """The same in logs from before there was a secret, when everybody could tell it."""
    return uuid5(IDEMPOTENCY_NAMESPACE, f"{owner}\0{idempotency_key}")


def callback_secret(key: bytes, owner: str) -> str:
    """What the owner's callbacks are signed with, made of the log's secret ``key``.

    As Standard Webhooks writes it.
    """
    digest = hmac.digest(key, b"callbacks\0" + owner.encode(), "sha256")
    return f"whsec_{base64.b64encode(digest).decode()}"


def hash_payload(text: str, instruction: str, salt: str) -> str:
    """A fingerprint that says nothing about a short text once the salt is erased with it."""
    words = f"{text}\0{instruction}".encode()
    return hashlib.blake2b(words, key=salt.encode(), digest_size=16).hexdigest()


def _stem(task_id: UUID, suffix: str | None) -> str:
    return f"{task_id}-{suffix}" if suffix else str(task_id)


def _task_id(drawn: bytes) -> UUID:
    """A UUIDv7 (RFC 9562): new ids stand together in every index, so a commit touches few pages."""
    milliseconds = time.time_ns() // 1_000_000
    number = int.from_bytes(drawn)
    high, low = number >> 62 & 0xFFF, number & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
