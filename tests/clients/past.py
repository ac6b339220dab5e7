"""A day that a service has behind it, for pages that show one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from tests.builders import bring, fail
from tests.histories import new_task, stored
from tests.services.stores import Backend
from tts.domain.task import Task
from tts.domain.values import Status
from tts.ports.log import Payload

HOURS = 20
QUIET_MINUTES = 10  # since the last of its tasks
TEMPLATES = ["narrator", "teahouse", "news", "support"]


async def fill(folder: Path, tasks: int, *, failed: int) -> None:
    """Write the tasks into the log of an embedded service; one of so many ``failed``."""
    async with Backend(f"sqlite:///{folder / 'tts.db'}").store() as store:
        lives = [stored(task) for task in _tasks(tasks, failed)]
        await asyncio.gather(*(store.append(life, Payload("你好", "", "0" * 32)) for life in lives))


def _tasks(count: int, failed: int) -> Iterator[Task]:
    random, end = Random(count), datetime.now(UTC) - timedelta(minutes=QUIET_MINUTES)
    for number in range(count):
        part = number / count
        part += math.sin(2 * math.pi * part) / 16  # more of them at noon
        began = end - timedelta(hours=HOURS * (1 - part))
        task = new_task(random, now=began, template_id=random.choice(TEMPLATES))
        if number % failed:
            bring(task, Status.SUCCEEDED, now=began + timedelta(seconds=3))
        else:
            fail(task, now=began)
        yield task
