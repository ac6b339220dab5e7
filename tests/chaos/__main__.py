"""``python -m tests.chaos --seed 7 --minutes 10 --tasks 2000``; exit code 1 is a violation."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom

import click

from tests.chaos.run import Chaos
from tests.chaos.servers import NEED_ROOT, ClusterServers
from tests.services.s3 import S3


@click.command()
@click.option("--seed", type=int, help="Draws the same troubles again; default: a new one.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Length of the load.")
@click.option("--tasks", type=int, default=2000, show_default=True, help="Tasks in that time.")
@click.option("--without", multiple=True, help='Troubles to spare it, like "rabbitmq kill".')
def main(seed: int | None, minutes: float, tasks: int, without: tuple[str, ...]) -> None:
    """Break everything at random under load, then check that nothing was lost or paid twice."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    click.echo(f"seed {seed}")
    if os.geteuid() != 0:
        without = (*without, *NEED_ROOT)
        click.echo(f"spared, as they take root: {', '.join(NEED_ROOT)}")
    folder = Path(tempfile.mkdtemp(prefix=f"tts-chaos-{seed}-"))
    with ExitStack() as stack:
        s3 = S3()
        stack.callback(s3.stop)
        servers = ClusterServers(s3, Random(seed))
        stack.callback(servers.stop)
        chaos = Chaos(
            servers,
            folder,
            seed=seed,
            without=without,
            every=120.0,
            freeze=60.0,
            clocks=True,
            # On a busy machine a sandbox that is merely slow must not look like one that hangs.
            REPLICATE_TIMEOUT_MS="5000",
        )
        report = asyncio.run(chaos.run(seconds=minutes * 60, tasks=tasks))
    click.echo(str(report))
    if report.violations:
        (folder / "report.txt").write_text(f"{report}\n" + "\n".join(report.violations))
        click.echo(f"logs, schedule, the sandbox's journal and the event log: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
