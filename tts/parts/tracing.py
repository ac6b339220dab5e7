"""Traces, where they are asked for; nothing of OpenTelemetry is imported where they are not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from tts.config import ConfigError
from tts.ports.queue import Message, Publisher
from tts.ports.tracing import NO_TRACING, Tracing

if TYPE_CHECKING:
    from tts.observability.tracing import OpenTelemetry


def open_telemetry(endpoint: str, *, instance: str) -> OpenTelemetry:
    """Traces that go to the collector at ``endpoint``.

    Raises:
        ConfigError: the extra that it takes is not installed.
    """
    try:
        from tts.observability.tracing import OpenTelemetry  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and {error.name} is not installed: "
            'pip install "tts-backend[otel]", or leave it empty'
        ) from error
    return OpenTelemetry(endpoint, instance=instance)


Caller = Callable[[UUID], Awaitable[str | None]]
"""What the log says of the span in which a task was asked for."""


def traced(publisher: Publisher, tracing: Tracing, caller: Caller) -> Publisher:
    """The publisher; what it publishes is traced, if anything is."""
    return publisher if tracing is NO_TRACING else TracedPublisher(publisher, tracing, caller)


class TracedPublisher:
    """A publisher whose messages are part of their tasks' traces."""

    def __init__(self, publisher: Publisher, tracing: Tracing, caller: Caller) -> None:
        self._publisher = publisher
        self._tracing = tracing
        self._caller = caller
        self.ready = publisher.ready
        self.marked = publisher.marked
        self.mark = publisher.mark

    async def publish(self, message: Message) -> None:
        """See :class:`tts.ports.queue.Publisher`."""
        name, task_id = f"publish {message.destination.value}", message.task_id
        caller = await self._caller(task_id)
        with self._tracing.span(name, task_id=task_id, caller=caller, kind="producer"):
            await self._publisher.publish(message)
