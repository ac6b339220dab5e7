"""The metrics of all workers of one port, whichever of them is asked.

Each offers its own on a socket in a folder that they share, ``<number>-<pid>.sock``; the one that
is asked puts them together, with the number as the label ``worker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

SECONDS = 2.0  # that one which is stuck holds up the others
LABEL = "worker"


class Siblings:
    """The workers whose sockets are in the ``folder``; this one is the ``number``."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._path = folder / f"{number}-{os.getpid()}.sock"

    @contextlib.asynccontextmanager
    async def offered(self) -> AsyncIterator[None]:
        """Offer our own metrics while the context is open."""

        async def own(_request: web.Request) -> web.Response:
            return web.Response(body=generate_latest())

        app = web.Application()
        app.add_routes([web.get("/", own)])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.UnixSite(runner, self._path).start()
            yield
        finally:
            await runner.cleanup()
            self._path.unlink(missing_ok=True)

    async def metrics(self) -> bytes:
        """Those of all workers that answer, as Prometheus reads them."""
        # A new worker takes the place of the one before while that is still there.
        paths = sorted(self._folder.glob("*.sock"), key=_age)
        newest = {path.name.partition("-")[0]: path for path in paths}
        texts = await asyncio.gather(*map(_ask, newest.values()))
        registry = CollectorRegistry()
        registry.register(_Together(dict(zip(newest, texts, strict=True))))
        return generate_latest(registry)


class _Together(Collector):
    """The metrics of several processes as those of one."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        """One family for each name, with the samples of all."""
        families: dict[str, Metric] = {}
        for worker, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                whole = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    whole.add_sample(sample.name, {**sample.labels, LABEL: worker}, sample.value)
        return families.values()

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known when they are asked for."""
        yield from ()


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


async def _ask(path: Path) -> str:
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(path)), timeout=timeout
            ) as session,
            session.get("http://worker/") as answer,
        ):
            return await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""  # it ends, or begins
