"""One trace tells a task's whole story, through all processes; where nobody asks, there is none."""

import subprocess
import sys
from contextlib import ExitStack
from uuid import UUID

import pytest

from tests.services.collector import Collector
from tests.services.distributed import Distributed
from tests.services.ports import free_port
from tests.services.tts import Tts
from tests.waiting import wait_until
from tts.client import Client
from tts.config import ConfigError
from tts.parts.tracing import open_telemetry, traced
from tts.ports.tracing import NO_TRACING
from tts.queue.memory import MemoryQueue


@pytest.fixture(scope="module")
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def app(postgres, rabbitmq, s3, collector, tmp_path_factory):
    """A client of a distributed deployment that is traced."""
    with ExitStack() as stack:
        port = free_port()
        sandbox = Tts("sandbox", "--port", str(port), "--data", str(tmp_path_factory.mktemp("box")))
        stack.callback(sandbox.stop)
        replicate = f"http://127.0.0.1:{port}"
        sandbox.wait_for(f"{replicate}/sandbox")
        env = {
            "REPLICATE_BASE_URL": replicate,
            "TEMPLATE_BASE_URL": replicate,
            "REPLICATE_POLL_INTERVAL_MS": "100",
            "RETRY_MAX_ATTEMPTS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        service = stack.enter_context(Distributed(postgres, rabbitmq, s3, **env))
        yield stack.enter_context(Client(service.url, trust_env=False))


def test_a_task_is_one_trace_from_its_request_to_its_audio(app, collector):
    """Over gateway, relay, RabbitMQ, processor, Replicate and bucket; each span has its place."""
    task_id = app.generate("template1", "你好。").task_id
    assert list(app.events(task_id))[-1].status == "succeeded"
    trace = UUID(task_id).hex

    def is_whole():
        names = {span.name for span in collector.of(trace)}
        return {"accept", "publish work", "process"} <= names

    wait_until(is_whole, "the trace has come")
    spans = collector.of(trace)
    by_id = {span.id: span for span in spans}
    (first,) = (span for span in spans if not span.parent)
    assert first.name == "accept"
    assert all(span.parent in by_id for span in spans if span is not first)
    assert len({span.process for span in spans}) == 3
    (process,) = (span for span in spans if span.name == "process")
    steps = {span.name for span in spans if span.parent == process.id}
    assert steps == {"claim", "start", "create", "poll", "download", "audio"}
    calls = {(by_id[span.parent].name, span.name) for span in spans if " " in span.name}
    assert calls >= {
        ("accept", "publish work"),
        ("start", "templates fetch"),
        ("create", "replicate create"),
        ("poll", "replicate get"),
        ("download", "replicate download"),
        ("audio", "audio put"),
    }
    happened = [event for span in spans for event in span.events]
    assert "tts.task.succeeded" in happened
    assert {span.error for span in spans} == {""}


def test_what_fails_is_marked_with_its_code(app, collector):
    """At the call and at the step; no text is in it."""
    task_id = app.generate("missing1", "你好。").task_id
    assert list(app.events(task_id))[-1].status == "failed"
    trace = UUID(task_id).hex
    wait_until(lambda: {"process"} <= {s.name for s in collector.of(trace)}, "the trace has come")
    errors = {span.name: span.error for span in collector.of(trace) if span.error}
    assert errors == {"templates fetch": "template_not_found", "start": "template_not_found"}


class TestNobodyAsks:
    def test_nothing_is_imported(self):
        """A process without a collector does not even read the library."""
        code = (
            "import sys, tts.cli.processes\n"
            "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_a_span_is_no_more_than_a_word(self):
        """The same one each time, and the publisher is the one that there was."""
        assert NO_TRACING.span("a") is NO_TRACING.span("b", kind="client")
        queue = MemoryQueue()
        assert traced(queue, NO_TRACING) is queue

    def test_an_extra_that_is_missing_is_named(self, monkeypatch):
        """With how to install it."""
        monkeypatch.delitem(sys.modules, "tts.observability.tracing", raising=False)
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
        with pytest.raises(ConfigError, match=r"tts-backend\[otel\]"):
            open_telemetry("http://127.0.0.1:4318", instance="host-1")
