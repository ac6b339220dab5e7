"""One trace tells a task's whole story, through all processes; where nobody asks, there is none."""

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from uuid import UUID, uuid4

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
def tracing(collector):
    telemetry = open_telemetry(collector.url, instance="here")
    yield telemetry
    asyncio.run(telemetry.aclose())


async def nobody(_task_id) -> None:
    """Tasks of which no caller is known."""


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


def test_a_caller_that_is_traced_has_the_task_in_its_trace(app, collector):
    """Under the span that it names; what is no such name starts a trace as if it were not there."""
    trace, span = uuid4().hex, "00f067aa0ba902b7"
    body = {"templateId": "template1", "tts_text": "你好。"}
    for header, joins in ((f"00-{trace}-{span}-01", True), (f"00-{trace}-{span}-00", False)):
        answer = app._http.post("/api/tts", json=body, headers={"traceparent": header})
        task_id = answer.json()["data"]["taskId"]
        assert list(app.events(task_id))[-1].status == "succeeded"
        name = trace if joins else UUID(task_id).hex

        def is_whole(name=name):
            return {"accept", "publish work", "process"} <= {s.name for s in collector.of(name)}

        wait_until(is_whole, "the trace has come")
        spans = collector.of(name)
        (first,) = (each for each in spans if each.name == "accept")
        assert first.parent == (span if joins else "")
        assert {each.parent for each in spans} <= {each.id for each in spans} | {first.parent}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01-more",
        f"ff-{'1' * 32}-{'1' * 16}-01",
        f"00-{'A' * 32}-{'1' * 16}-01",
        f"00-{'1' * 31}\u0661-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01,00-{'2' * 32}-{'1' * 16}-01",
        "x" * 8000,
        None,
    ],
)
def test_what_names_no_span_is_as_good_as_nothing(tracing, header):
    """And never part of the log."""
    assert tracing.caller(header) is None


def test_what_goes_into_the_log_is_of_the_version_that_we_know(tracing):
    """Whatever a newer one adds, and whichever flags there are besides."""
    ids = f"{'1' * 32}-{'2' * 16}"
    for header in (f"00-{ids}-01", f"00-{ids}-03", f"01-{ids}-01-more"):
        assert tracing.caller(header) == f"00-{ids}-01"


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
        assert traced(queue, NO_TRACING, nobody) is queue
        assert NO_TRACING.caller(f"00-{'1' * 32}-{'1' * 16}-01") is None

    def test_an_extra_that_is_missing_is_named(self, monkeypatch):
        """With how to install it."""
        monkeypatch.delitem(sys.modules, "tts.observability.tracing", raising=False)
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
        with pytest.raises(ConfigError, match=r"tts-backend\[otel\]"):
            open_telemetry("http://127.0.0.1:4318", instance="host-1")
