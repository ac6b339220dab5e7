"""Traces by OpenTelemetry, sent by OTLP over HTTP; the extra ``otel`` installs what it takes.

The trace of a task is named by the task's own id, and its first span by the half of that; or it is
that of the request's ``traceparent``, which stands in the task's first event. So every process can
tell the trace of what it works on: nothing has to travel with messages, and a task that is
redelivered, rescued or retried days later goes on in its trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from importlib.metadata import version
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tts.ports.tracing import Kind

KINDS: dict[Kind, SpanKind] = {
    "inside": SpanKind.INTERNAL,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
}
HALF = (1 << 64) - 1  # of a UUID: that is random


class OpenTelemetry:
    """Implements Tracing; ``endpoint`` is the collector's, without ``/v1/traces``."""

    def __init__(self, endpoint: str, *, instance: str) -> None:
        resource = Resource.create(
            {
                "service.name": "tts",
                "service.version": version("tts-backend"),
                "service.instance.id": instance,
            }
        )
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tts", version("tts-backend"))

    async def aclose(self) -> None:
        """Send what is left."""
        await asyncio.to_thread(self._provider.shutdown)

    def caller(self, traceparent: str | None) -> str | None:
        """See :class:`tts.ports.tracing.Tracing`.

        A trace that its caller does not record is none to join: the task would be in no trace at
        all. As in https://www.w3.org/TR/trace-context/, what is not well-formed counts as absent.
        """
        if traceparent is None:
            return None
        span = _span_of(traceparent)
        if not (span.is_valid and span.trace_flags.sampled):
            return None
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"

    def accepted(self, task_id: UUID, seconds: float, caller: str | None = None) -> None:
        """See :class:`tts.ports.tracing.Tracing`."""
        end = time.time_ns()
        with self._ids.of(task_id):
            span = self._tracer.start_span(
                "accept",
                context=_within(_span_of(caller)) if caller else Context(),
                kind=SpanKind.SERVER,
                start_time=end - int(seconds * 1e9),
                attributes={"tts.task_id": str(task_id)},
            )
        span.end(end)

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        *,
        task_id: UUID | None = None,
        caller: str | None = None,
        kind: Kind = "inside",
    ) -> Iterator[_Span]:
        """See :class:`tts.ports.tracing.Tracing`."""
        context = None if task_id is None else _within(_first_span(task_id, caller))
        attributes = {} if task_id is None else {"tts.task_id": str(task_id)}
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=KINDS[kind],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            told = _Span(span)
            try:
                yield told
            except Exception as error:
                if not told.failed:
                    told.fail(type(error).__name__)
                raise

    def note(self, name: str) -> None:
        """See :class:`tts.ports.tracing.Tracing`."""
        get_current_span().add_event(name)


class _Span:
    """Implements Span of :mod:`tts.ports.tracing`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.failed = False

    def fail(self, code: str) -> None:
        self.failed = True
        self._span.set_attribute("error.type", code)
        self._span.set_status(StatusCode.ERROR, code)


class _Ids(RandomIdGenerator):
    """Random ids, but for the first span of a task."""

    def __init__(self) -> None:
        self._task_id: UUID | None = None

    @contextlib.contextmanager
    def of(self, task_id: UUID) -> Iterator[None]:
        """The span that is started in the block is the task's first."""
        self._task_id = task_id
        try:
            yield
        finally:
            self._task_id = None

    def generate_trace_id(self) -> int:
        """See the library."""
        return super().generate_trace_id() if self._task_id is None else self._task_id.int

    def generate_span_id(self) -> int:
        """See the library."""
        return super().generate_span_id() if self._task_id is None else self._task_id.int & HALF


def _first_span(task_id: UUID, caller: str | None) -> SpanContext:
    return SpanContext(
        trace_id=_span_of(caller).trace_id if caller else task_id.int,
        span_id=task_id.int & HALF,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _span_of(traceparent: str) -> SpanContext:
    """The span that a header names; one that is not valid if it names none."""
    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
    return get_current_span(context).get_span_context()


def _within(span: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(span), Context())
