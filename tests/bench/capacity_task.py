"""What one short text costs each process and server, from its POST to its audio.

Every part is a process of its own. What they cost at rest is taken off.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg

from tests.bench.capacity_plan import TaskCost
from tests.bench.processes import running, wait_for
from tests.bench.subscribers import open_stream
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.process import TICKS, descendants
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3

PARTS = ("gateway", "relay", "processor", "projector")
TASKS = 400
AT_ONCE = 32
WARM_UP = 40
IDLE_SECONDS = 10
START_SECONDS = 180
SANDBOX = {"boot_seconds": 0.2, "predict_seconds": 0.8, "speech": "tone"}
TEXT = "你好，欢迎使用语音合成服务。今天天气很好，我们一起去公园散步吧。"
LOG = {"stored_events", "payloads", "callbacks"}  # tables of the log; all others are read models
SIZES = """
    SELECT coalesce(t.relname, c.relname), sum(pg_relation_size(c.oid))
    FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'i') AND n.nspname = 'public' GROUP BY 1
"""


@dataclass(frozen=True)
class Deployment:
    """The processes by name, and where they are asked."""

    pids: Mapping[str, int]
    url: str
    port: int
    store_url: str

    def cpu(self) -> dict[str, float]:
        """Seconds that each has used, with what it has started."""
        return {name: tree_seconds(pid) for name, pid in self.pids.items()}

    def sql(self, statement: str) -> list[tuple]:
        """What the database says."""
        with psycopg.connect(self.store_url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def speak(self, tasks: int) -> None:
        """Have so many texts spoken, each heard to its end, and wait until the lists have them."""
        goal = self._listed() + tasks
        with (
            httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client,
            ThreadPoolExecutor(AT_ONCE) as threads,
        ):
            list(threads.map(lambda _: self._hear(client), range(tasks)))
        while self._listed() < goal:
            time.sleep(0.2)

    def _hear(self, client: httpx.Client) -> None:
        """Post a text and follow its stream, as an app does."""
        body = {"templateId": "template1", "tts_text": TEXT}
        answer = client.post("/api/tts", json=body).raise_for_status()
        stream = open_stream(self.port, f"/events?taskId={answer.json()['data']['taskId']}")
        with stream:
            stream.settimeout(60)
            heard = b""
            while b'"status":"succeeded"' not in heard:
                data = stream.recv(65536)
                if not data:
                    raise ConnectionResetError(f"a stream ended before its task: {heard[-500:]!r}")
                heard += data

    def _listed(self) -> int:
        answer = httpx.get(f"{self.url}/api/stats", timeout=30, trust_env=False)
        return int(answer.raise_for_status().json()["data"]["tasks"]["succeeded"])


def measure(tasks: int = TASKS) -> TaskCost:
    """One round."""
    with deployment() as its:
        its.speak(WARM_UP)
        before = its.cpu()
        time.sleep(IDLE_SECONDS)
        idle = {name: (cpu - before[name]) / IDLE_SECONDS for name, cpu in its.cpu().items()}
        (events, sizes, wal), before, began = _log(its), its.cpu(), time.monotonic()
        its.speak(tasks)
        seconds = time.monotonic() - began
        (events_after, sizes_after, wal_after), after = _log(its), its.cpu()
        log, lists = (
            sum(sizes_after[t] - sizes.get(t, 0) for t in sizes_after if (t in LOG) is kept) / tasks
            for kept in (True, False)
        )
        (audio,) = its.sql(
            "SELECT avg((convert_from(state, 'UTF8')::json->>'size')::int) FROM stored_events "
            "WHERE topic = 'tts.task.succeeded'"
        )[0]
        return TaskCost(
            events=(events_after - events) / tasks,
            log_bytes=log,
            list_bytes=lists,
            wal_bytes=(wal_after - wal) / tasks,
            audio_bytes=float(audio),
            cpu_ms={
                name: max(0.0, after[name] - before[name] - idle[name] * seconds) / tasks * 1000
                for name in its.pids
            },
            idle_share=idle,
            connections=_connections(its),
            batched_ms={},  # see capacity_leaders
        )


def _log(its: Deployment) -> tuple[int, dict[str, int], int]:
    """Events, bytes of each table with its indexes, and of the WAL."""
    (events,), *_ = its.sql("SELECT count(*) FROM stored_events")
    (wal,), *_ = its.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    return events, {name: int(size) for name, size in its.sql(SIZES)}, int(wal)


def _connections(its: Deployment) -> int:
    """Those of PostgreSQL that four processes hold."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    return int(its.sql(query)[0][0])


def tree_seconds(pid: int) -> float:
    """What the process and all that it started have used, those included that have ended."""
    total = 0.0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(FileNotFoundError):  # its parent has it among those that ended
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / TICKS
    return total


@contextmanager
def deployment() -> Iterator[Deployment]:
    """One process of each part, and the servers."""
    with ExitStack() as stack:
        postgres, rabbitmq, s3 = Postgres(fsync=True), RabbitMQ(), S3()
        for server in (postgres, rabbitmq, s3):
            stack.callback(server.stop)
        folder = stack.enter_context(TemporaryDirectory(prefix="tts-bench-"))
        sandbox_port, port = free_port(), free_port()
        sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        arguments = ["-m", "tts", "sandbox", "--port", str(sandbox_port), "--data", folder]
        sandbox = stack.enter_context(running(arguments))
        wait_for(f"{sandbox_url}/sandbox", sandbox)
        httpx.patch(f"{sandbox_url}/sandbox/settings", json=SANDBOX).raise_for_status()
        env = {
            "EVENT_STORE_URL": postgres.create_database(),
            "RABBITMQ_URL": rabbitmq.create_vhost(),
            **s3.settings,
            "REPLICATE_API_TOKEN": "r8_bench",
            "REPLICATE_BASE_URL": sandbox_url,
            "TEMPLATE_BASE_URL": sandbox_url,
            "PORT": str(port),
            "RATE_LIMIT_PER_ADDRESS": "0",
            "TTS_CONCURRENCY": str(AT_ONCE),
        }
        pids = {part: stack.enter_context(running(["-m", "tts", part], env)) for part in PARTS}
        wait_for(f"http://127.0.0.1:{port}/health", pids["gateway"], START_SECONDS)
        yield Deployment(
            {
                **{part: process.pid for part, process in pids.items()},
                "PostgreSQL": postgres._process.pid,
                "RabbitMQ": rabbitmq._process.pid,
                "S3": s3._process.pid,
            },
            f"http://127.0.0.1:{port}",
            port,
            env["EVENT_STORE_URL"],
        )
