"""``python -m tests.chaos --seed 7 --minutes 10 --tasks 2000``; exit code 1 is a violation."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom

import click

from tests.chaos.run import Chaos, Servers
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3


@click.command()
@click.option("--seed", type=int, help="Draws the same troubles again; default: a new one.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Length of the load.")
@click.option("--tasks", type=int, default=2000, show_default=True, help="Tasks in that time.")
@click.option("--without", multiple=True, help='Troubles to spare it, like "rabbitmq wipe".')
def main(seed: int | None, minutes: float, tasks: int, without: tuple[str, ...]) -> None:
    """Break everything at random under load, then check that nothing was lost or paid twice."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    click.echo(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix=f"tts-chaos-{seed}-"))
    with ExitStack() as stack:
        servers = Servers(Postgres(), RabbitMQ(), S3())
        for server in (servers.postgres, servers.rabbitmq, servers.s3):
            stack.callback(server.stop)
        chaos = Chaos(servers, folder, seed=seed, without=without)
        report = asyncio.run(chaos.run(seconds=minutes * 60, tasks=tasks))
    click.echo(str(report))
    if report.violations:
        (folder / "report.txt").write_text(f"{report}\n" + "\n".join(report.violations))
        click.echo(f"logs, schedule, the sandbox's journal and the event log: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
