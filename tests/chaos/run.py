"""One chaos run: a steady load while the schedule does its worst, then peace and a verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import orjson

from tests.chaos import checker, evidence, schedule
from tests.chaos.app import App, Reader
from tests.chaos.breaking import Breaker
from tests.chaos.deployment import Deployment, distributed
from tests.chaos.nursery import Nursery
from tests.chaos.servers import ClusterServers, Servers
from tests.services.clock import Clock
from tests.waiting import wait_until

EACH = 2
NOTING_SECONDS = 600.0  # well within the hour for which the sandbox knows what was to be said
HEALING_SECONDS = 120.0  # without news, until what is not over counts as stuck
KEPT = {"tts_dead_letter_queue", "tts_health_queue"}  # nobody reads them
OVER = {"succeeded", "canceled"}
SHOWN, LINE_CHARS = 30, 500  # of the violations, on the page; the report in the folder has all
CANCEL_SHARE = 0.1
SAME_TEXT_SHARE = 0.2  # as in an app that greets: predictions that only their order tells apart
LONG_TEXT_SHARE = 0.1
SENTENCE = "今天天气很好，我们去公园散步吧，晚上再回来一起吃饭。"


@dataclass
class Report:
    """What a run has shown."""

    seed: int
    tasks: int
    facts: dict[str, object] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"chaos: seed {self.seed}, {self.tasks} tasks"]
        lines += [f"  {name:28} {value}" for name, value in self.facts.items()]
        lines.append(f"  {'violations':28} {len(self.violations)}")
        lines += [f"    - {violation[:LINE_CHARS]}" for violation in self.violations[:SHOWN]]
        return "\n".join(lines)


class Chaos:
    """The state of a run; ``without`` are troubles to leave out of the schedule.

    Every ``every`` seconds each trouble happens once; a process is frozen for up to ``freeze``
    seconds. With ``clocks`` those of the machines jump, which takes libfaketime. ``env`` are more
    settings of the service.
    """

    def __init__(
        self,
        servers: Servers | ClusterServers,
        folder: Path,
        *,
        seed: int,
        without: Collection[str] = (),
        every: float = 45.0,
        freeze: float = 10.0,
        clocks: bool = False,
        **env: str,
    ) -> None:
        self._servers = servers
        self._folder = folder
        self._seed = seed
        self._env = env
        self._harms = {name: harm for name, harm in servers.harms().items() if name not in without}
        self._draw = partial(
            schedule.draw,
            machines=EACH,
            servers={name: harm.longest for name, harm in self._harms.items()},
            every=every,
            freeze=freeze,
            clocks=clocks,
        )
        self._clocks = {str(n): Clock() for n in range(1, EACH + 1)} if clocks else {}
        self._random = Random(seed)
        self._counts: Counter[str] = Counter()
        self._inputs: dict[str, dict[str, Any]] = {}  # of predictions, by id

    async def run(self, *, seconds: float, tasks: int) -> Report:
        """Do it, and say what was found."""
        report = Report(self._seed, tasks)
        url = self._servers.create_database()
        env = next((clock.env for clock in self._clocks.values()), None)
        nursery = await asyncio.to_thread(Nursery, self._folder, env)
        deployment = distributed(
            nursery,
            url,
            self._servers.broker_url,
            self._servers.s3,
            each=EACH,
            clocks=self._clocks,
            **self._env,
        )
        readers = {
            "steady": Reader(deployment.gateways),
            "restless": Reader(
                deployment.gateways[::-1], patience=lambda: self._random.uniform(0.5, 5.0)
            ),
        }
        try:
            await asyncio.to_thread(deployment.start_all)
            async with App(deployment.gateways, deployment.replicate) as app:
                breaker = Breaker(app, deployment, self._harms)
                reading = [asyncio.create_task(reader.run()) for reader in readers.values()]
                reading.append(asyncio.create_task(self._note_inputs(deployment.journal)))
                try:
                    await self._trouble(app, breaker, readers["steady"], seconds, tasks)
                    await self._peace(app, breaker, deployment, readers["steady"], report)
                    await self._check(app, breaker, deployment, readers, url, report)
                finally:
                    for task in reading:
                        task.cancel()
                    await asyncio.gather(*reading, return_exceptions=True)
            for child in deployment.children.values():
                await asyncio.to_thread(child.kill)
            report.violations += await asyncio.to_thread(self._rebuilt, nursery, url, report)
            if report.violations:
                evidence.dump(url, self._folder / "log.jsonl")
        finally:
            deployment.stop()
            nursery.stop()
            for clock in self._clocks.values():
                clock.remove()
        return report

    # --- trouble

    async def _trouble(
        self, app: App, breaker: Breaker, reader: Reader, seconds: float, tasks: int
    ) -> None:
        troubles = self._draw(Random(self._seed), seconds)
        (self._folder / "schedule.json").write_bytes(orjson.dumps(troubles))
        retrying = asyncio.create_task(self._retry_some(app, reader))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._load(app, seconds, tasks))
                began = time.monotonic()
                for trouble in troubles:
                    await asyncio.sleep(began + trouble.at - time.monotonic())
                    group.create_task(breaker.cause(trouble))
        finally:
            retrying.cancel()
            await asyncio.gather(retrying, return_exceptions=True)

    # --- load

    async def _load(self, app: App, seconds: float, tasks: int) -> None:
        random = Random(self._seed + 1)
        texts: list[str] = []
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for n in range(tasks):
                await asyncio.sleep(began + n * seconds / tasks - time.monotonic())
                text = f"第{n}句话。"
                if random.random() < LONG_TEXT_SHARE:
                    text += SENTENCE * 6
                if texts and random.random() < SAME_TEXT_SHARE:
                    text = random.choice(texts[-20:])
                texts.append(text)
                cancel_after = random.uniform(0.0, 3.0) if random.random() < CANCEL_SHARE else None
                group.create_task(
                    self._one(app, n, text, f"template{random.randrange(5)}", cancel_after)
                )

    async def _one(
        self, app: App, n: int, text: str, template: str, cancel_after: float | None
    ) -> None:
        task_id = await app.speak(text, template=template, key=f"{self._seed}-{n}")
        if cancel_after is not None:
            await asyncio.sleep(cancel_after)
            self._counts[f"cancel: {await app.order('/api/tts/cancel', task_id)}"] += 1

    async def _retry_some(self, app: App, reader: Reader) -> None:
        """Retry half of what fails, as soon as the stream tells of it."""
        done = 0
        while True:
            news, done = reader.seen[done:], len(reader.seen)
            for _, task_id, status in news:
                if status == "failed" and self._random.random() < 0.5:
                    answer = await app.order("/api/tts/retry", task_id)
                    self._counts[f"retry: {answer}"] += 1
            await asyncio.sleep(0.2)

    async def _note_inputs(self, journal: Path) -> None:
        """In a long run the sandbox forgets what the first predictions were to say."""
        while True:
            await asyncio.sleep(NOTING_SECONDS)
            self._inputs |= await asyncio.to_thread(evidence.read_inputs, journal)

    # --- peace

    async def _peace(
        self, app: App, breaker: Breaker, deployment: Deployment, reader: Reader, report: Report
    ) -> None:
        began = time.monotonic()
        await breaker.peace()
        await asyncio.to_thread(wait_until, deployment.healthy, "the gateways are healthy")
        report.facts["healthy after (s)"] = round(time.monotonic() - began, 1)
        await self._heal(app, reader)
        report.facts["all tasks over after (s)"] = round(time.monotonic() - began, 1)

    async def _heal(self, app: App, reader: Reader) -> None:
        """Retry what has failed, until all is over: nothing is in the way of success any more."""
        newest: dict[str, str] = {}
        done = 0
        heard = time.monotonic()
        while len(newest) < len(app.accepted) or set(newest.values()) - OVER:
            if time.monotonic() > heard + HEALING_SECONDS:
                return  # the verdict says what is stuck
            news, done = reader.seen[done:], len(reader.seen)
            newest |= {task_id: status for _, task_id, status in news}
            if news:
                heard = time.monotonic()
            for task_id in {task_id for _, task_id, _ in news if newest[task_id] == "failed"}:
                await app.order("/api/tts/retry", task_id)
                self._counts["retries in peace"] += 1
            await asyncio.sleep(0.2)

    # --- the verdict

    async def _check(
        self,
        app: App,
        breaker: Breaker,
        deployment: Deployment,
        readers: Mapping[str, Reader],
        url: str,
        report: Report,
    ) -> None:
        found = report.violations
        log = evidence.read_log(url)
        for reader in readers.values():
            await reader.caught_up(log[-1].position)
        texts = evidence.read_texts(url)
        journal = evidence.read_journal(deployment.journal)
        for prediction, record in journal.items():
            record["input"] = record["input"] or self._inputs[prediction]
        tasks = checker.by_task(log)
        found += checker.nothing_lost_or_invented(tasks, app.accepted, texts)
        wanted = {task_id: {"succeeded", "canceled"} for task_id in tasks}
        found += checker.final_exactly_once(tasks, wanted)
        found += checker.cancellations_obeyed(tasks)
        found += checker.paid_once(tasks, texts, journal, lost=breaker.denied)
        found += checker.nothing_runs(journal, now=time.time())
        found += checker.streams_complete(log, readers)
        found += await _patiently(self._left_in_queues)
        found += await _patiently(lambda: asyncio.to_thread(_projected, url, log[-1].position))
        stats = await app.sandbox("GET", "stats")
        ends = Counter(entries[-1].kind for entries in tasks.values())
        codes = Counter(e.state["code"] for e in log if e.kind in {"retry_scheduled", "failed"})
        report.facts |= {
            "tasks accepted": len(app.accepted),
            "ended": dict(ends),
            "events": len(log),
            "failures by code": dict(codes.most_common()),
            "predictions paid": stats["creations"]["total"],
            "predictions denied": breaker.denied,
            "posts repeated": sum(a.posts - 1 for a in app.accepted.values()),
            "streams opened": {name: r.connections for name, r in readers.items()},
            "troubles": dict(sorted((self._counts + breaker.counts).items())),
        }
        if stats["creations"]["total"] != len(journal):
            found.append(f"{stats['creations']['total']} creations counted, {len(journal)} written")
        if stats["tokens_at"]["delivery"] or stats["tokens_at"]["templates"]:
            found.append(f"our token went astray: {stats['tokens_at']}")

    async def _left_in_queues(self) -> list[str]:
        queues = await asyncio.to_thread(self._servers.list_queues)
        return [
            f"{queue['messages']} messages are left in {queue['name']}"
            for queue in queues
            if queue["messages"] and queue["name"] not in KEPT
        ]

    def _rebuilt(self, nursery: Nursery, url: str, report: Report) -> list[str]:
        """Rebuild the read models from the log in a copy of the database, and compare."""
        copy = self._servers.copy_database(url)
        before = evidence.read_models(copy)
        evidence.clear_models(copy)
        last = evidence.read_log(copy)[-1].position
        projector = nursery.start("rebuild", "projector", env={"EVENT_STORE_URL": copy})
        try:
            wait_until(lambda: not _projected(copy, last), "the read models are rebuilt")
        finally:
            projector.kill()
        after = evidence.read_models(copy)
        report.facts["read models"] = {name: len(rows) for name, rows in after.items()}
        return [
            f"read model {name} differs from a replay: "
            f"{sorted(before[name] ^ after.get(name, set()), key=str)[:4]}"
            for name in before
            if before[name] != after.get(name)
        ]


def _projected(url: str, last: int) -> list[str]:
    positions = evidence.projected(url) or {"(none has begun)": 0}
    return [
        f"read model {name} is at {position} of {last}"
        for name, position in positions.items()
        if position < last
    ]


async def _patiently(look: Callable[[], Awaitable[list[str]]], seconds: float = 60) -> list[str]:
    """What is found wrong, unless it mends itself in time."""
    deadline = time.monotonic() + seconds
    while (found := await look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
    return found
