"""POST /api/tts per second over 64 connections, against a bare Sanic handler that stores nothing.

Only ``tts gateway`` runs beside the store; bare, ours, and ours with an Idempotency-Key for each
request take turns, and the medians are compared.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench.processes import running, wait_for
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.process import ServiceError

ROUNDS = 5
SECONDS = 4
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"templateId": "template1", "tts_text": "你好，欢迎使用语音合成服务。"}'
"""
KEYED = (
    SCRIPT
    + """
local first, count = os.time() .. "-" .. math.random(1e9) .. "-", 0
request = function()
  count = count + 1
  wrk.headers["Idempotency-Key"] = first .. count
  return wrk.format()
end
"""
)
WANTED = 0.75


def main(rounds: int = ROUNDS, seconds: int = SECONDS) -> dict[str, float]:
    """Print and return the ratio ours / bare for each store."""
    if shutil.which("wrk") is None:
        raise ServiceError("wrk is missing; mend it with: apt-get install -y wrk")
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as folder:
        ratios = {"sqlite": _compare("sqlite", {}, Path(folder), rounds, seconds)}
        postgres = Postgres(fsync=True)
        try:
            env = {"EVENT_STORE_URL": postgres.create_database()}
            ratios["postgresql"] = _compare("postgresql", env, Path(folder), rounds, seconds)
        finally:
            postgres.stop()
    return ratios


def _compare(name: str, env: Mapping[str, str], folder: Path, rounds: int, seconds: int) -> float:
    plain, keyed = folder / "plain.lua", folder / "keyed.lua"
    plain.write_text(SCRIPT)
    keyed.write_text(KEYED)
    bare_port, port = free_port(), free_port()
    ours = ["-m", "tts", "gateway", "--port", str(port), "--data", str(folder / name)]
    with (
        running(["-m", "tests.bench.bare_gateway", str(bare_port)]) as bare_process,
        running(ours, env) as our_process,
    ):
        wait_for(f"http://127.0.0.1:{bare_port}/", bare_process)
        wait_for(f"http://127.0.0.1:{port}/health", our_process)
        rates = [
            (
                _rate(bare_port, plain, seconds),
                _rate(port, plain, seconds),
                _rate(port, keyed, seconds),
            )
            for _ in range(rounds)
        ]
    bare, own, with_keys = map(statistics.median, zip(*rates, strict=True))
    print(  # noqa: T201
        f"{name:>10}: bare {bare:7.0f}/s   ours {own:7.0f}/s   ratio {own / bare:.2f}   "
        f"with keys {with_keys / bare:.2f}   (wanted: at least {WANTED:.2f})"
    )
    return own / bare


def _rate(port: int, script: Path, seconds: int) -> float:
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/api/tts"], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"some requests were refused:\n{done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk printed no rate:\n{done.stdout}")
    return float(found[1])
