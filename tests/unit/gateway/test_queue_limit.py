"""The bound on the backlog: what it says while the read model is away."""

from __future__ import annotations

import asyncio

import pytest

from gateway import queue_limit
from gateway.errors import QueueFull
from gateway.queue_limit import QueueLimit
from tests.waiting import until
from tts.ports.errors import Unavailable


async def test_an_outage_of_the_read_model_is_reported_once(monkeypatch, caplog):
    """However long it is: what was seen last stands meanwhile, and the end is noticed."""
    monkeypatch.setattr(queue_limit, "LOOK_SECONDS", 0.01)
    counts, looks, is_away = {"queued": 2, "succeeded": 9}, 0, False

    async def look() -> dict[str, int]:
        nonlocal looks
        looks += 1
        if is_away:
            raise Unavailable("the file is locked")
        return counts

    limit = QueueLimit(look, 2)
    watching = asyncio.create_task(limit.watch())

    def is_full() -> bool:
        try:
            limit.check()
        except QueueFull:
            return True
        return False

    await until(is_full, "the limit is reached")
    is_away, looks = True, 0
    await until(lambda: looks > 3, "the read model is asked again and again")
    with pytest.raises(QueueFull):
        limit.check()
    is_away, counts = False, {"queued": 1}
    await until(lambda: not is_full(), "there is room again")
    watching.cancel()
    assert caplog.text.count("The backlog cannot be read, trying again") == 1
