"""``tts migrate``: what an older service left behind is made what this one needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import click

from tts.cli.errors import Tools
from tts.cli.output import echo
from tts.config import ConfigError, load
from tts.queue.rabbitmq.migration import Moved
from tts.queue.rabbitmq.migration import migrate as migrate_queues


@click.group(cls=Tools)
def migrate() -> None:
    """Make what an older service left behind what this one needs. Stop the processes first."""


@migrate.command()
def rabbitmq() -> None:
    """Make queues anew that an older service declared otherwise, and keep their messages.

    Messages of this service are moved into the new queues; all others are left in queues beside
    them, whose names end in `.old`.
    """
    url = load().rabbitmq_url.get_secret_value()
    if not url:
        raise ConfigError("RABBITMQ_URL is not set: without it there are no queues to migrate")
    _tell(asyncio.run(migrate_queues(url)))


def _tell(queues: Iterable[Moved]) -> None:
    for moved in queues:
        if not moved.reason:
            echo(f"{moved.queue} is as it should be.")
        else:
            echo(f"{moved.queue} was made anew: {moved.reason}")
        if moved.ours:
            echo(f"  {moved.ours} messages of this service are in it again.")
        if moved.left:
            echo(
                f"  {moved.left} messages are not of this service, whose log knows no task of "
                f"theirs: they are left in {moved.kept}. Post again what is still wanted of them, "
                "then delete that queue."
            )
