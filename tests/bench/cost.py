"""CPU per task of processor plus relay, against a bare script that makes the same outside calls.

PostgreSQL, RabbitMQ, an S3 server and the sandbox are real processes; bare and ours take turns.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from tests.bench.processes import running, wait_for
from tests.bench.records import Goal, Record, Row
from tests.builders import application
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.process import cpu_seconds
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3
from tts.config import Settings
from tts.store.postgres import PostgresStore

ROUNDS = 3
TASKS = 400
POLL_MS = 500
BARE, OURS, MEASURE = "bare script", "tts processor + relay", "CPU ms a task"


def main(rounds: int = ROUNDS, tasks: int = TASKS) -> Record:
    """By turns."""
    with _servers() as env:
        bare, own = [], []
        for _ in range(rounds):
            bare.append(_bare(env, tasks) / tasks * 1000)
            own.append(_ours(env, tasks) / tasks * 1000)
    rows = [Row(BARE, {MEASURE: bare}), Row(OURS, {MEASURE: own})]
    ratio = rows[1].median(MEASURE) / rows[0].median(MEASURE)
    goals = [Goal("ours / the bare script", ratio, 1, at_least=False)]
    title = "Processor and relay, with the same calls to outside services"
    return Record("cost", title, rows, goals, ratio_to=BARE)


@contextmanager
def _servers() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        postgres, rabbitmq, s3 = Postgres(), RabbitMQ(), S3()
        for server in (postgres, rabbitmq, s3):
            stack.callback(server.stop)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tts-bench-"))
        port = free_port()
        arguments = ["-m", "tts", "sandbox", "--port", str(port), "--data", folder]
        sandbox = stack.enter_context(running(arguments))
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/sandbox", sandbox)
        yield {
            "EVENT_STORE_URL": postgres.create_database(),
            "RABBITMQ_URL": rabbitmq.create_vhost(),
            **s3.settings,
            "REPLICATE_API_TOKEN": "r8_bench",
            "REPLICATE_BASE_URL": url,
            "TEMPLATE_BASE_URL": url,
            "REPLICATE_POLL_INTERVAL_MS": str(POLL_MS),
            "TTS_CONCURRENCY": "16",
        }


def _bare(env: dict[str, str], tasks: int) -> float:
    at = {
        "replicate": env["REPLICATE_BASE_URL"],
        "templates": env["TEMPLATE_BASE_URL"],
        "rabbitmq": env["RABBITMQ_URL"],
        "s3": env["MINIO_ENDPOINT"],
        "access_key": env["MINIO_ACCESS_KEY"],
        "secret_key": env["MINIO_SECRET_KEY"],
        "bucket": "tts-audio",
        "version": Settings(_env_file=None).replicate_model_version,
        "poll_interval": POLL_MS / 1000,
        "tasks": tasks,
    }
    _ensure_bucket(env)
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare_worker", json.dumps(at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        _expect(worker, "ready")
        before = cpu_seconds(worker.pid)
        worker.stdin.write("go\n")
        worker.stdin.flush()
        _expect(worker, "done")
        return cpu_seconds(worker.pid) - before
    finally:
        worker.kill()
        worker.wait()


def _ours(env: dict[str, str], tasks: int) -> float:
    with (
        running(["-m", "tts", "relay"], env) as relay,
        running(["-m", "tts", "processor"], env) as processor,
    ):
        _run_tasks(env, 1)  # both are up, and the connections are open
        before = cpu_seconds(relay.pid) + cpu_seconds(processor.pid)
        _run_tasks(env, tasks)
        return cpu_seconds(relay.pid) + cpu_seconds(processor.pid) - before


def _run_tasks(env: dict[str, str], tasks: int) -> None:
    finished = _succeeded(env) + tasks
    asyncio.run(_request(env["EVENT_STORE_URL"], tasks))
    deadline = time.monotonic() + 120 + tasks
    while _succeeded(env) < finished:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{finished - _succeeded(env)} of {tasks} tasks did not finish")
        time.sleep(0.1)


async def _request(url: str, tasks: int) -> None:
    store = PostgresStore(url)
    await store.open()
    app = application(store)
    await asyncio.gather(
        *(app.request(template_id="template1", text=f"第{number}句话") for number in range(tasks))
    )
    await store.aclose()


def _succeeded(env: dict[str, str]) -> int:
    with psycopg.connect(env["EVENT_STORE_URL"]) as connection:
        exists = connection.execute("SELECT to_regclass('stored_events')").fetchone()
        if exists is None or exists[0] is None:
            return 0
        row = connection.execute(
            "SELECT count(*) FROM stored_events WHERE topic = 'tts.task.succeeded'"
        ).fetchone()
    return row[0] if row else 0


def _ensure_bucket(env: dict[str, str]) -> None:
    from minio import Minio  # noqa: PLC0415 -- only the baseline needs it here

    client = Minio(
        env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )
    if not client.bucket_exists("tts-audio"):
        client.make_bucket("tts-audio")


def _expect(worker: subprocess.Popen[str], word: str) -> None:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if line.strip() != word:
        raise RuntimeError(f"the bare worker said {line!r}, not {word!r}")
