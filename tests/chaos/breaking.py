"""Carries the troubles of a schedule out: on processes, clocks, servers, and what is behind us."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.chaos.app import App
from tests.chaos.deployment import Deployment
from tests.chaos.schedule import Trouble
from tests.chaos.servers import Harm


class Breaker:
    """Each process, each clock and each server has one trouble at a time; others wait for it.

    ``counts`` says what happened how often, ``denied`` how often Replicate denied a prediction.
    """

    def __init__(self, app: App, deployment: Deployment, harms: Mapping[str, Harm]) -> None:
        self.counts: Counter[str] = Counter()
        self.denied = 0
        self._app = app
        self._deployment = deployment
        self._harms = harms
        self._rules: list[dict[str, Any]] = []
        self._locks: dict[str, asyncio.Lock] = {}
        self._faults = asyncio.Lock()

    async def cause(self, trouble: Trouble) -> None:
        """Let it happen, from its beginning to its end."""
        what, *target = trouble.what.split(" ")
        if what == "fault":
            self.counts["faults of Replicate or templates"] += 1
            await self._fault(trouble)
            return
        self.counts[trouble.what] += 1
        about = target[0] if what in {"kill", "freeze"} else what
        async with self._locks.setdefault(about, asyncio.Lock()):
            match what:
                case "kill":
                    await self._kill(target[0], trouble.seconds)
                case "freeze":
                    await self._freeze(target[0], trouble.seconds)
                case "clock":
                    await self._step(target[0], float(target[1]), trouble.seconds)
                case _:
                    await self._harm(trouble.what, trouble.seconds)

    async def peace(self) -> None:
        """Nothing goes wrong behind us any more."""
        async with self._faults:
            self._rules = []
            await self._put_rules()

    async def _kill(self, name: str, seconds: float) -> None:
        await asyncio.to_thread(self._deployment.children[name].kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._deployment.start, name)

    async def _freeze(self, name: str, seconds: float) -> None:
        child = self._deployment.children[name]
        child.freeze()
        await asyncio.sleep(seconds)
        child.thaw()

    async def _step(self, machine: str, by: float, seconds: float) -> None:
        clock = self._deployment.clocks[machine]
        clock.step(by)
        await asyncio.sleep(seconds)
        clock.set(0)

    async def _harm(self, name: str, seconds: float) -> None:
        harm = self._harms[name].cause()
        await asyncio.to_thread(harm.__enter__)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(harm.__exit__, None, None, None)

    async def _fault(self, trouble: Trouble) -> None:
        async with self._faults:
            self._rules.append(trouble.rule)
            await self._put_rules()
        await asyncio.sleep(trouble.seconds)
        async with self._faults:
            self._rules.remove(trouble.rule)
            await self._put_rules()

    async def _put_rules(self) -> None:
        for rule in await self._app.sandbox("GET", "faults"):
            if rule["route"] == "get" and rule.get("args", {}).get("status") == 404:
                self.denied += rule["injected"]
        await self._app.sandbox("PUT", "faults", self._rules)
