"""Which parts each command puts together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import click

from gateway.app import Gateway
from gateway.services import Webhooks
from projections.database import open_database
from projections.dead_letters import DeadLetterQueries
from projections.runner import Projector
from projections.tasks import TaskQueries, TasksProjection
from tts import bootstrap
from tts.audio.minio import MinioAudio
from tts.cli.process import (
    Part,
)
from tts.config import ConfigError, Settings
from tts.gate.gate import Gate
from tts.observability.health import Probe
from tts.observability.monitor import monitor
from tts.ports.coordination import Signals
from tts.queue.rabbitmq import RabbitMQ
from tts.sandbox import start_sandbox


async def up(settings: Settings, stack: AsyncExitStack) -> list[Part]:
    """Everything in one process."""
    if settings.sandboxed:
        settings = await _with_sandbox(settings, stack)
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    queue = await stack.enter_async_context(bootstrap.open_queue(settings))
    audio = await stack.enter_async_context(bootstrap.open_audio(settings))
    app = bootstrap.application(settings, store)
    gate = bootstrap.gate(settings, store)
    signals = bootstrap.signals(settings, store, alone=True)
    working = await bootstrap.processor(settings, stack, app, store, queue, audio, gate, signals)
    projecting = await _projecting(settings, stack, store)
    probes = _probes(store, queue, audio, projecting)
    serving = await _serving(settings, stack, store, audio, gate, signals, probes)
    _greet(settings)
    relaying = bootstrap.relay(settings, app, store, queue)
    return [serving.run(), working.run(), relaying.run(), projecting.run()]


async def gateway(settings: Settings, stack: AsyncExitStack) -> list[Part]:
    """The HTTP API and the streams."""
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    audio = await stack.enter_async_context(bootstrap.open_audio(settings))
    gate = bootstrap.gate(settings, store)
    signals = bootstrap.signals(settings, store, alone=False)
    # What it accepts is in the log, so it need not wait for the broker nor for the audio's place.
    serving = await _serving(settings, stack, store, audio, gate, signals, _probes(store))
    _greet(settings)
    return [serving.run()]


async def relay(settings: Settings, stack: AsyncExitStack, *, rebuild: bool) -> list[Part]:
    """The relay; with ``rebuild`` it first fills the queue."""
    _need(settings, "relay")
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    queue = await stack.enter_async_context(bootstrap.open_queue(settings))
    app = bootstrap.application(settings, store)
    relaying = bootstrap.relay(settings, app, store, queue)
    probes = _probes(store, queue)
    await _monitored(settings, stack, probes, leading=lambda: relaying.leading)
    if rebuild:
        await relaying.rebuild()
    return [relaying.run()]


async def processor(settings: Settings, stack: AsyncExitStack) -> list[Part]:
    """The processor."""
    _need(settings, "processor")
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    queue = await stack.enter_async_context(bootstrap.open_queue(settings))
    audio = await stack.enter_async_context(bootstrap.open_audio(settings))
    app = bootstrap.application(settings, store)
    gate = bootstrap.gate(settings, store)
    signals = bootstrap.signals(settings, store, alone=False)
    working = await bootstrap.processor(settings, stack, app, store, queue, audio, gate, signals)
    await _monitored(settings, stack, _probes(store, queue, audio))
    return [working.run()]


async def projector(settings: Settings, stack: AsyncExitStack) -> list[Part]:
    """The projector."""
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    projecting = await _projecting(settings, stack, store)
    probes = _probes(store, projector=projecting)
    await _monitored(settings, stack, probes, leading=lambda: projecting.leading)
    return [projecting.run()]


async def sandbox(settings: Settings, stack: AsyncExitStack, faults: Path | None) -> list[Part]:
    """The sandbox alone."""
    running = await start_sandbox(
        host=settings.host,
        port=settings.sandbox_port,
        data_dir=settings.data_dir / "sandbox",
        faults_file=faults,
    )
    stack.push_async_callback(running.stop)
    click.echo(f"Sandbox: {running.url}  (GET {running.url}/sandbox tells what it can do)")
    return [_for_ever()]


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def _with_sandbox(settings: Settings, stack: AsyncExitStack) -> Settings:
    running = await start_sandbox(
        host="127.0.0.1", port=settings.sandbox_port, data_dir=settings.data_dir / "sandbox"
    )
    stack.push_async_callback(running.stop)
    click.echo(
        f"REPLICATE_API_TOKEN is not set: speech comes from the local sandbox at {running.url}."
    )
    changes = {"replicate_base_url": running.url}
    if "template_base_url" not in settings.model_fields_set:
        changes["template_base_url"] = running.url
    return settings.model_copy(update=changes)


async def _serving(
    settings: Settings,
    stack: AsyncExitStack,
    store: bootstrap.Store,
    audio: bootstrap.Audio,
    gate: Gate,
    signals: Signals | None,
    probes: Mapping[str, Probe],
) -> Gateway:
    database = await stack.enter_async_context(open_database(settings.store_url))
    webhooks = None
    if signals is not None:
        webhooks = Webhooks(bootstrap.webhook_secret(settings, stack), signals)
    return Gateway(
        settings=settings,
        application=bootstrap.application(settings, store),
        log=store,
        audio=audio,
        tasks=TaskQueries(database),
        dead_letters=DeadLetterQueries(database),
        probes=probes,
        upstream=gate.state,
        webhooks=webhooks,
    )


def _probes(
    store: bootstrap.Store,
    queue: bootstrap.Queue | None = None,
    audio: bootstrap.Audio | None = None,
    projector: Projector | None = None,
) -> Mapping[str, Probe]:
    """What a process needs that uses these parts."""
    probes: dict[str, Probe] = {"store": store.ready}
    if isinstance(queue, RabbitMQ):
        probes["queue"] = queue.healthy
    if projector is not None:
        probes["projector"] = projector.ready
    if isinstance(audio, MinioAudio):
        probes["audio"] = audio.ready
    return probes


async def _monitored(
    settings: Settings,
    stack: AsyncExitStack,
    probes: Mapping[str, Probe],
    *,
    leading: Callable[[], bool] | None = None,
) -> None:
    """Serve /health and /metrics of a process without a gateway, if a port is given for them."""
    port = settings.metrics_port
    if not port:
        return
    try:
        await stack.enter_async_context(monitor(settings.host, port, probes, leading=leading))
    except OSError as error:
        raise ConfigError(
            f"METRICS_PORT: cannot listen on {settings.host}:{port}: {error}"
        ) from error


async def _projecting(
    settings: Settings, stack: AsyncExitStack, store: bootstrap.Store
) -> Projector:
    database = await stack.enter_async_context(open_database(settings.store_url))
    return Projector(store, store, database, [TasksProjection()])


def _need(settings: Settings, part: str) -> None:
    """A part on its own needs a queue that other processes can reach."""
    if not settings.rabbitmq_url.get_secret_value():
        raise ConfigError(
            f"RABBITMQ_URL is not set: `tts {part}` shares its queue with other processes "
            "(`tts up` runs everything in one)"
        )


def _greet(settings: Settings) -> None:
    url = settings.gateway_url
    click.echo(
        f"""
  Watch    {url}/
  Try it   {url}/sse-client-example.html
  Docs     {url}/docs
  API      {url}/api/tts
  Stream   {url}/events
  Health   {url}/health

From a terminal:

  curl -s {url}/api/tts -H 'Content-Type: application/json' \\
       -d '{{"templateId": "template1", "tts_text": "你好，欢迎使用语音合成服务。"}}'
  curl -N '{url}/events?from=start'
"""
    )
