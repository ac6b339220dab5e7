"""The whole service under measurement: embedded or distributed, before a sandbox of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from tests.bench.customers import Customers
from tests.bench.processes import running, wait_for
from tests.bench.subjects import Servers
from tests.services.ports import free_port
from tests.services.s3 import S3

# As fast as it can be: what is measured is the service.
SANDBOX = {"boot_seconds": 0.0, "predict_seconds": 0.05, "speech": "tone"}
PREDICT_SECONDS = SANDBOX["predict_seconds"]


@dataclass(frozen=True)
class Site:
    """``processes`` are those of the service, by what they are."""

    customers: Customers
    processes: dict[str, subprocess.Popen[bytes]]


@contextmanager
def embedded() -> Iterator[Site]:
    """One process, on SQLite."""
    with ExitStack() as stack:
        env, folder = _sandbox(stack)
        port = free_port()
        arguments = ["-m", "tts", "up", "--port", str(port), "--data", f"{folder}/data"]
        process = stack.enter_context(running(arguments, env))
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield Site(Customers(port), {"tts up": process})


@contextmanager
def distributed(servers: Servers) -> Iterator[Site]:
    """Gateway, relay, processor and projector, on PostgreSQL, RabbitMQ and S3."""
    with ExitStack() as stack:
        env, folder = _sandbox(stack)
        s3 = S3()
        stack.callback(s3.stop)
        port = free_port()
        env |= {
            "EVENT_STORE_URL": servers.postgres.create_database(),
            "RABBITMQ_URL": stack.enter_context(servers.vhost()),
            **s3.settings,
        }
        commands = {
            "gateway": ["gateway", "--port", str(port)],
            "relay": ["relay"],
            "processor": ["processor"],
            "projector": ["projector"],
        }
        processes = {
            name: stack.enter_context(running(["-m", "tts", *command, "--data", folder], env))
            for name, command in commands.items()
        }
        wait_for(f"http://127.0.0.1:{port}/health", processes["gateway"])
        yield Site(Customers(port), processes)


def _sandbox(stack: ExitStack) -> tuple[dict[str, str], str]:
    """What makes a service use it, and a folder."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tts-bench-"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", "tts", "sandbox", "--port", str(port), "--data", folder]
    wait_for(f"{url}/sandbox", stack.enter_context(running(arguments)))
    settings = httpx.patch(f"{url}/sandbox/settings", json=SANDBOX, trust_env=False)
    settings.raise_for_status()
    env = {
        "REPLICATE_API_TOKEN": "r8_bench",
        "REPLICATE_BASE_URL": url,
        "TEMPLATE_BASE_URL": url,
        "REPLICATE_POLL_INTERVAL_MS": "100",
        "RATE_LIMIT_PER_ADDRESS": "0",
    }
    return env, folder
