"""Who takes requests for speech: ours, the bare handler, and the peers as their makers advise.

Each is set so that an answer means that the task is on disk. A start is always on an empty store.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

from tests.bench.installed import PROGRAMS, javascript, python, version_of
from tests.bench.load import PLAIN
from tests.bench.processes import running, wait_for
from tests.services.ports import free_port, listeners
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis import Redis
from tests.waiting import wait_until

SQLITE, POSTGRES = "tts on SQLite", "tts on PostgreSQL"
BARE = "bare Sanic handler"
EXPRESS, BULLMQ = "Express + amqplib", "BullMQ"
CELERY, TASKIQ = "FastAPI + Celery", "FastAPI + taskiq-aio-pika"
PROCRASTINATE, RECORDER = "FastAPI + Procrastinate", "FastAPI + eventsourcing"


class Servers:
    """The servers under the subjects, each started when it is asked for first."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    @cached_property
    def postgres(self) -> Postgres:
        """One that syncs."""
        server = Postgres(fsync=True)
        self._stack.callback(server.stop)
        return server

    @cached_property
    def rabbitmq(self) -> RabbitMQ:
        """One node, as it comes."""
        server = RabbitMQ()
        self._stack.callback(server.stop)
        return server

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """The URL of an empty vhost, which is gone afterwards with its queues."""
        url = self.rabbitmq.create_vhost()
        try:
            yield url
        finally:
            self.rabbitmq.delete_vhost(url)


@dataclass(frozen=True)
class Command:
    """A program of which one process serves."""

    arguments: Sequence[str]
    program: str = sys.executable
    env: dict[str, str] | None = None


Prepare = Callable[[Servers, ExitStack, int], Command]


@dataclass(frozen=True)
class Subject:
    """``prepare`` brings an empty store for a port; the stack takes it away again."""

    name: str
    settings: str
    prepare: Prepare
    packages: Sequence[str] = ()
    script: str = PLAIN  # what wrk asks
    workers: int = 1

    @contextmanager
    def started(self, servers: Servers) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """A fresh process and its port."""
        with ExitStack() as stack:
            port = free_port()
            command = self.prepare(servers, stack, port)
            process = stack.enter_context(
                running(command.arguments, command.env, program=command.program)
            )
            wait_for(f"http://127.0.0.1:{port}/health", process)
            wait_until(lambda: listeners(port) == self.workers, f"{self.name} listens")
            yield port, process

    def described(self) -> str:
        """Its settings, and the versions of its packages."""
        versions = (f"{name.removeprefix('npm:')} {version_of(name)}" for name in self.packages)
        return "; ".join([self.settings, *([", ".join(versions)] if self.packages else [])])


def bare() -> Subject:
    """A handler that stores nothing."""

    def prepare(servers: Servers, stack: ExitStack, port: int) -> Command:
        return Command(["-m", "tests.bench.bare_gateway", str(port)])

    return Subject(BARE, "nothing is stored", prepare)


def ours(
    name: str,
    settings: str,
    *,
    postgres: bool = False,
    workers: int = 1,
    script: str = PLAIN,
) -> Subject:
    """``tts gateway`` on a store."""

    def prepare(servers: Servers, stack: ExitStack, port: int) -> Command:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tts-bench-"))
        arguments = ["-m", "tts", "gateway", "--port", str(port), "--data", folder]
        env = {"EVENT_STORE_URL": servers.postgres.create_database()} if postgres else None
        return Command([*arguments, *(["--workers", str(workers)] if workers > 1 else [])], env=env)

    return Subject(name, settings, prepare, script=script, workers=workers)


def _express(servers: Servers, stack: ExitStack, port: int) -> Command:
    url = stack.enter_context(servers.vhost())
    return Command([str(javascript() / "express_amqplib.mjs"), str(port), url], "node")


def _bullmq(servers: Servers, stack: ExitStack, port: int) -> Command:
    redis = Redis()
    stack.callback(redis.stop)
    return Command([str(javascript() / "bullmq.mjs"), str(port), str(redis.port)], "node")


def _python(name: str, servers: Servers, stack: ExitStack, port: int) -> Command:
    queues = name in {"with_celery.py", "with_taskiq.py"}
    url = stack.enter_context(servers.vhost()) if queues else servers.postgres.create_database()
    return Command([str(PROGRAMS / name), str(port), url], python())


CONFIRMED = "persistent messages to a quorum queue, publisher confirms"
SYNCED = "fsync on, synchronous_commit on"
FRONT = ("fastapi", "uvicorn")
OURS = (
    ours(SQLITE, "WAL, synchronous=FULL, group commit"),
    ours(POSTGRES, f"{SYNCED}, group commit", postgres=True),
)
PEERS = (
    Subject(EXPRESS, CONFIRMED, _express, ("npm:express", "npm:amqplib")),
    Subject(
        BULLMQ, "AOF, appendfsync always", _bullmq, ("npm:express", "npm:bullmq", "npm:ioredis")
    ),
    Subject(CELERY, CONFIRMED, partial(_python, "with_celery.py"), (*FRONT, "celery")),
    Subject(TASKIQ, CONFIRMED, partial(_python, "with_taskiq.py"), (*FRONT, "taskiq-aio-pika")),
    Subject(
        PROCRASTINATE,
        f"{SYNCED}, async connector, 16 connections",
        partial(_python, "with_procrastinate.py"),
        (*FRONT, "procrastinate"),
    ),
    Subject(
        RECORDER,
        f"{SYNCED}, recorder as shipped",
        partial(_python, "with_eventsourcing.py"),
        (*FRONT, "eventsourcing"),
    ),
)
SUBJECTS = (bare(), *OURS, *PEERS)
