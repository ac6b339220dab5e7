"""The commands that run the service; what each one runs stands in ``deployments``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from tts.cli.deployments import Role, deploy
from tts.cli.errors import Process
from tts.cli.options import data_option
from tts.cli.process import run_process
from tts.cli.sandboxes import sandbox as sandbox_alone
from tts.cli.workers import supervise

data_folder = data_option("the SQLite files and the audio")
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that serve the port; SIGHUP restarts them one by one.",
)
host_option = click.option("--host", help="Address to listen on (HOST, default 127.0.0.1).")
port_option = click.option("--port", type=int, help="Port to listen on (PORT, default 3002).")


@click.command(cls=Process)
@host_option
@port_option
@data_folder
@workers_option
def up(*, workers: int, **overrides: Any) -> None:
    """Run gateway, relay, processor and projector in one process.

    Without EVENT_STORE_URL, RABBITMQ_URL and MINIO_ENDPOINT it keeps everything in the data folder.
    Without REPLICATE_API_TOKEN it starts the sandbox as well: it speaks locally and costs nothing.
    """
    if workers > 1:
        supervise("up", workers, overrides)
    else:
        run_process(partial(deploy, roles=list(Role)), overrides)


@click.command(cls=Process)
@host_option
@port_option
@data_folder
@workers_option
def gateway(*, workers: int, **overrides: Any) -> None:
    """Serve the HTTP API and the streams. Run as many as you like."""
    if workers > 1:
        supervise("gateway", workers, overrides)
    else:
        run_process(partial(deploy, roles=[Role.GATEWAY]), overrides)


@click.command(cls=Process)
@click.option(
    "--rebuild", is_flag=True, help="First put every unfinished task of the log into the queue."
)
@data_folder
def relay(*, rebuild: bool, **overrides: Any) -> None:
    """Publish to RabbitMQ what the log orders. One leads, the others stand by."""
    run_process(partial(deploy, roles=[Role.RELAY], rebuild=rebuild), overrides)


@click.command(cls=Process)
@data_folder
def processor(**overrides: Any) -> None:
    """Take tasks from RabbitMQ and speak them. Run as many as you like."""
    run_process(partial(deploy, roles=[Role.PROCESSOR]), overrides)


@click.command(cls=Process)
@data_folder
def projector(**overrides: Any) -> None:
    """Keep the read models up to date. One leads, the others stand by."""
    run_process(partial(deploy, roles=[Role.PROJECTOR]), overrides)


@click.command(cls=Process)
@host_option
@click.option("--port", "sandbox_port", type=int, help="Port (SANDBOX_PORT, default 3003).")
@click.option(
    "--faults",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file with rules of what is to go wrong.",
)
@data_folder
def sandbox(*, faults: Path | None, **overrides: Any) -> None:
    """Serve a local stand-in for Replicate and for the template host.

    Point REPLICATE_BASE_URL and TEMPLATE_BASE_URL at it; GET /sandbox tells what it can do.
    """
    from tts.sandbox import BadRule  # noqa: PLC0415 -- it brings a server along

    try:
        run_process(partial(sandbox_alone, faults=faults), overrides)
    except BadRule as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
