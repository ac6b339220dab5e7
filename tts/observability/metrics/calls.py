"""Calls to what is outside (Replicate, templates, audio): how long they take, and what fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from prometheus_client import Counter, Histogram

from tts.domain.failures import TABLE, StepError
from tts.observability.metrics.registries import PROCESSOR
from tts.ports.tracing import NO_TRACING, Tracing

T = TypeVar("T")

# By service: its operations, and the step of the table whose failures they raise.
OPERATIONS = {
    "replicate": {
        "create": "create",
        "find": "find",
        "survey": "find",
        "get": "poll",
        "cancel": "cancel",
        "download": "download",
    },
    "templates": {"fetch": "template"},
    "audio": {"put": "audio", "put_file": "audio", "get": "audio", "delete": "audio"},
}

CALL_SECONDS = Histogram(
    "tts_call_seconds",
    "Calls to Replicate, the template host (or its cache) and the audio store.",
    ["service", "operation"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
    registry=PROCESSOR,
)
CALL_FAILURES = Counter(
    "tts_call_failures_total",
    "Calls that failed, by error code.",
    ["service", "operation", "code"],
    registry=PROCESSOR,
)
for _service, _operations in OPERATIONS.items():
    for _operation, _step in _operations.items():
        CALL_SECONDS.labels(_service, _operation)
        for _code in sorted(code for code, step in TABLE if step == _step):
            CALL_FAILURES.labels(_service, _operation, _code)


class Timed:
    """Stands in for a service, and times each of its operations; all else is the service's own."""

    def __init__(self, service: str, inner: Any, tracing: Tracing) -> None:
        self._inner = inner
        for operation in OPERATIONS[service]:
            work = getattr(inner, operation)
            setattr(self, operation, _timed(service, operation, work, tracing))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def timed(service: str, inner: T, tracing: Tracing = NO_TRACING) -> T:
    """The service, which is timed from now on, and whose calls are part of what is traced."""
    stand_in: Any = Timed(service, inner, tracing)
    return stand_in  # type: ignore[no-any-return]


def _timed(
    service: str, operation: str, work: Callable[..., Awaitable[T]], tracing: Tracing
) -> Callable[..., Awaitable[T]]:
    seconds, name = CALL_SECONDS.labels(service, operation), f"{service} {operation}"

    async def call(*args: Any, **kwargs: Any) -> T:
        began = time.perf_counter()
        with tracing.span(name, kind="client") as span:
            try:
                return await work(*args, **kwargs)
            except StepError as error:
                span.fail(error.code)
                CALL_FAILURES.labels(service, operation, error.code).inc()
                raise
            finally:
                seconds.observe(time.perf_counter() - began)

    return call
