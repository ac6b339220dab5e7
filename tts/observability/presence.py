"""What this process tells the others of itself: a notice for each of its parts, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from tts.observability.health import Probe, ask
from tts.observability.last_problem import LAST_PROBLEM
from tts.observability.metrics.process import observe_needs
from tts.patience import first_of
from tts.ports.errors import Unavailable
from tts.ports.roster import Notice, Roster

logger = logging.getLogger(__name__)

TELL_SECONDS = 2.0
PROBE_SECONDS = 10.0  # between two looks at what the process needs: small operations, but real ones
PROBE_AGAIN_SECONDS = 1.0  # while something is away
LEAVE_SECONDS = 2.0

Tell = Callable[[], Awaitable[Mapping[str, Any]]]
"""The facts of one part: fields of :class:`tts.wire.Part`. What is not known now is left out."""


class Presence:
    """The process ``name`` on the roster; ``parts`` it has, and ``probes`` are of what it needs."""

    def __init__(
        self, roster: Roster, name: str, probes: Mapping[str, Probe], parts: Mapping[str, Tell]
    ) -> None:
        self._roster = roster
        self._name = name
        self._probes = probes
        self._parts = parts
        self._started = _now()
        self._version = version("tts-backend")  # it is read from a file each time
        self._needs: dict[str, str] = {}
        self._away_since: dict[str, str] = {}
        self._probed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def entry(self) -> AsyncIterator[None]:
        """Be on the roster while the context is open."""
        telling = asyncio.create_task(first_of(self._tell(), self._probe()))
        telling.add_done_callback(_say_why)
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait([telling])
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._roster.leave([Notice(part, self._name, {}) for part in self._parts])

    async def _tell(self) -> None:
        await self._probed.wait()  # nobody is to take what was not looked at for well
        while True:
            with contextlib.suppress(Unavailable):  # /health says so
                await self._roster.tell(await self._notices())
            await asyncio.sleep(TELL_SECONDS)

    async def _notices(self) -> Sequence[Notice]:
        common = {
            "version": self._version,
            "startedAt": self._started,
            "needs": self._needs,
            "awaySince": self._away_since,
            "lastProblem": LAST_PROBLEM.newest,
        }
        return [
            Notice(part, self._name, {**common, **await _facts(tell)})
            for part, tell in self._parts.items()
        ]

    async def _probe(self) -> None:
        while True:
            answers = await asyncio.gather(*(ask(*each) for each in self._probes.items()))
            self._needs = dict(zip(self._probes, answers, strict=True))
            observe_needs(self._needs)
            now = _now()
            self._away_since = {
                need: self._away_since.get(need, now)
                for need, answer in self._needs.items()
                if answer != "ok"
            }
            self._probed.set()
            await asyncio.sleep(PROBE_AGAIN_SECONDS if self._away_since else PROBE_SECONDS)


async def _facts(tell: Tell) -> Mapping[str, Any]:
    try:
        return await tell()
    except Unavailable:
        return {}


def _say_why(telling: asyncio.Task[int]) -> None:
    if not telling.cancelled():
        logger.error("This process tells of itself no longer", exc_info=telling.exception())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
