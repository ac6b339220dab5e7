"""The command line, and the composition root: only here meet tts, gateway and projections."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import uvloop

from gateway.app import Gateway
from gateway.services import Webhooks
from projections.database import open_database
from projections.dead_letters import DeadLetterQueries
from projections.runner import Projector
from projections.tasks import TaskQueries, TasksProjection
from tts import bootstrap
from tts.audio.minio import MinioAudio
from tts.cli.dead_letters import dead_letters
from tts.cli.keys import keys
from tts.cli.retry_policy import retry_policy_command
from tts.config import ConfigError, Settings, load
from tts.gate.gate import Gate
from tts.observability.health import Probe
from tts.observability.metrics import configure_logging
from tts.observability.monitor import monitor
from tts.ports.log import Signals, Unavailable
from tts.queue.rabbitmq import RabbitMQ
from tts.sandbox import BadRule, start_sandbox

logger = logging.getLogger(__name__)

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
data_option = click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the SQLite files and the audio (DATA_DIR, default ./data).",
)
host_option = click.option("--host", help="Address to listen on (HOST, default 127.0.0.1).")
port_option = click.option("--port", type=int, help="Port to listen on (PORT, default 3002).")


@click.group(context_settings=HELP)
@click.version_option(package_name="tts-backend")
def main() -> None:
    """Text-to-speech backend: takes texts over HTTP, has Replicate speak them, streams progress.

    `tts up` runs everything in one process and needs nothing installed. For several machines, run
    the parts (gateway, relay, processor, projector) against PostgreSQL, RabbitMQ and an S3 server.

    Settings come from the environment or from a file `.env` in the current folder; `.env.example`
    lists and explains all of them.
    """


@main.command()
@host_option
@port_option
@data_option
def up(**overrides: Any) -> None:
    """Run gateway, relay, processor and projector in one process.

    Without EVENT_STORE_URL, RABBITMQ_URL and MINIO_ENDPOINT it keeps everything in the data folder.
    Without REPLICATE_API_TOKEN it starts the sandbox as well: it speaks locally and costs nothing.
    """
    _run(_up, overrides)


@main.command()
@host_option
@port_option
@data_option
def gateway(**overrides: Any) -> None:
    """Serve the HTTP API and the streams. Run as many as you like."""
    _run(_gateway, overrides)


@main.command()
@click.option(
    "--rebuild", is_flag=True, help="First put every unfinished task of the log into the queue."
)
@data_option
def relay(*, rebuild: bool, **overrides: Any) -> None:
    """Publish to RabbitMQ what the log orders. One leads, the others stand by."""
    _run(lambda settings, stack: _relay(settings, stack, rebuild=rebuild), overrides)


@main.command()
@data_option
def processor(**overrides: Any) -> None:
    """Take tasks from RabbitMQ and speak them. Run as many as you like."""
    _run(_processor, overrides)


@main.command()
@data_option
def projector(**overrides: Any) -> None:
    """Keep the read models up to date. One leads, the others stand by."""
    _run(_projector, overrides)


@main.command()
@host_option
@click.option("--port", "sandbox_port", type=int, help="Port (SANDBOX_PORT, default 3003).")
@click.option(
    "--faults",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file with rules of what is to go wrong.",
)
@data_option
def sandbox(*, faults: Path | None, **overrides: Any) -> None:
    """Serve a local stand-in for Replicate and for the template host.

    Point REPLICATE_BASE_URL and TEMPLATE_BASE_URL at it; GET /sandbox tells what it can do.
    """
    try:
        _run(lambda settings, stack: _sandbox(settings, stack, faults), overrides)
    except BadRule as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error


main.add_command(keys)
main.add_command(dead_letters)
main.add_command(retry_policy_command)


# --- running

Part = Coroutine[Any, Any, None]
Build = Callable[[Settings, AsyncExitStack], Awaitable[list[Part]]]


def _run(build: Build, overrides: dict[str, Any]) -> None:
    """Build the parts, run them until a signal or a failure, and close what was opened."""
    try:
        settings = load(**overrides)
        configure_logging(settings.log_level, settings.log_format)
        _raise_file_limit()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(build, settings))
    except ConfigError as error:
        click.echo(f"tts: a setting is wrong\n{error}", err=True)
        sys.exit(2)
    except Unavailable as error:
        click.echo(f"tts: cannot start: {error}", err=True)
        sys.exit(1)


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: every stream is one, and 1,024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _until_stopped(build: Build, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        parts = [asyncio.ensure_future(part) for part in await build(settings, stack)]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*parts, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # In the order given: who takes orders in stops before who works them off.
            for part in [stopped, *parts]:
                part.cancel()
                await asyncio.wait([part])
        for part in parts:
            if not part.cancelled():
                part.result()


async def _up(settings: Settings, stack: AsyncExitStack) -> list[Part]:
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


async def _gateway(settings: Settings, stack: AsyncExitStack) -> list[Part]:
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    audio = await stack.enter_async_context(bootstrap.open_audio(settings))
    gate = bootstrap.gate(settings, store)
    signals = bootstrap.signals(settings, store, alone=False)
    # What it accepts is in the log, so it need not wait for the broker nor for the audio's place.
    serving = await _serving(settings, stack, store, audio, gate, signals, _probes(store))
    _greet(settings)
    return [serving.run()]


async def _relay(settings: Settings, stack: AsyncExitStack, *, rebuild: bool) -> list[Part]:
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


async def _processor(settings: Settings, stack: AsyncExitStack) -> list[Part]:
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


async def _projector(settings: Settings, stack: AsyncExitStack) -> list[Part]:
    store = await stack.enter_async_context(bootstrap.open_store(settings))
    projecting = await _projecting(settings, stack, store)
    probes = _probes(store, projector=projecting)
    await _monitored(settings, stack, probes, leading=lambda: projecting.leading)
    return [projecting.run()]


async def _sandbox(settings: Settings, stack: AsyncExitStack, faults: Path | None) -> list[Part]:
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
