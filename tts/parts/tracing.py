"""Traces, where they are asked for; nothing of OpenTelemetry is imported where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def traced(publisher: Publisher, tracing: Tracing) -> Publisher:
    """The publisher; what it publishes is traced, if anything is."""
    return publisher if tracing is NO_TRACING else TracedPublisher(publisher, tracing)


class TracedPublisher:
    """A publisher whose messages are part of their tasks' traces."""

    def __init__(self, publisher: Publisher, tracing: Tracing) -> None:
        self._publisher = publisher
        self._tracing = tracing
        self.ready = publisher.ready
        self.marked = publisher.marked
        self.mark = publisher.mark

    async def publish(self, message: Message) -> None:
        """See :class:`tts.ports.queue.Publisher`."""
        name = f"publish {message.destination.value}"
        with self._tracing.span(name, task_id=message.task_id, kind="producer"):
            await self._publisher.publish(message)
