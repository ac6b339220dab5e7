"""Load by wrk, and how much of a core wrk itself took: near 1, it would be what is measured."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

from tests.services.process import ServiceError

CONNECTIONS = 64
PATIENCE_SECONDS = 60  # a slow answer is an answer
BODY = '{"templateId": "template1", "tts_text": "你好，欢迎使用语音合成服务。"}'
PLAIN = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{BODY}'
"""
KEYED = (
    PLAIN
    + """
local first, count = os.time() .. "-" .. math.random(1e9) .. "-", 0
request = function()
  count = count + 1
  wrk.headers["Idempotency-Key"] = first .. count
  return wrk.format()
end
"""
)
_SUMMARY = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "microseconds": %d, "middle": %f, "late": %f, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What came back: answers a second, their median and 99th percentile in milliseconds.

    ``wrk`` is the part of a core that the generator took.
    """

    rate: float
    middle: float
    late: float
    wrk: float


def load(port: int, seconds: float, *, script: str = PLAIN, path: str = "/api/tts") -> Load:
    """POST over all connections, for whole seconds; a refused request fails the measurement."""
    if shutil.which("wrk") is None:
        raise ServiceError("wrk is missing; mend it with: apt-get install -y wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + _SUMMARY)
        file.flush()
        how = ["-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", f"--timeout={PATIENCE_SECONDS}s"]
        command = ["wrk", *how, "-s", file.name]
        before, began = _cpu(), time.monotonic()
        url = f"http://127.0.0.1:{port}{path}"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
        share = (_cpu() - before) / (time.monotonic() - began)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["failed"]:
        raise RuntimeError(f"some requests were refused:\n{done.stdout}")
    rate = found["requests"] * 1e6 / found["microseconds"]
    return Load(rate, found["middle"] / 1000, found["late"] / 1000, share)


def _cpu() -> float:
    """Of children that have ended; wrk is the only one that ends meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
