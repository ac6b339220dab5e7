"""The command line. A command is imported when it is called: each brings its part of the service.

Together they take a second to import, which is long where somebody waits for a line.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import NamedTuple

import click

COLLECT_AFTER_OBJECTS = 10_000  # that are new; Python's own 700 make imports and requests slower


class Later(NamedTuple):
    """Where a command is found, as ``module:name`` in this package; ``does`` begins its help."""

    place: str
    does: str


COMMANDS = {
    "archive": Later(
        "archive.command:archive",
        "Move the events of tasks that are long over out of the log, into compressed JSON lines.",
    ),
    "backup": Later(
        "backup.command:backup",
        "Copy log, keys and audio into the new folder TARGET, while the service runs.",
    ),
    "dead-letters": Later(
        "dead_letters:dead_letters",
        "List, inspect, redrive and dismiss tasks that have failed for good.",
    ),
    "doctor": Later(
        "doctor.command:doctor",
        "Look at settings, files, ports, database, broker, bucket and Replicate; change nothing.",
    ),
    "gateway": Later("processes:gateway", "Serve the HTTP API and the streams."),
    "keys": Later("keys:keys", "Make, list and revoke API keys."),
    "migrate": Later(
        "migrate:migrate", "Make the tables, or those of an older version what this one needs."
    ),
    "processor": Later("processes:processor", "Take tasks from RabbitMQ and speak them."),
    "projections": Later(
        "projections:projections",
        "List, rebuild and verify the read models, which lists and statistics are read from.",
    ),
    "projector": Later("processes:projector", "Keep the read models up to date."),
    "relay": Later("processes:relay", "Publish to RabbitMQ what the log orders."),
    "restore": Later(
        "backup.command:restore",
        "Bring a backup back to where there is no log: an empty data folder, or an empty database.",
    ),
    "retry-policy": Later(
        "retry_policy:retry_policy_command",
        "Print when a failed step is tried again, and what is done about each failure.",
    ),
    "sandbox": Later(
        "processes:sandbox", "Serve a local stand-in for Replicate and for the template host."
    ),
    "up": Later("processes:up", "Run gateway, relay, processor and projector in one process."),
    "webhooks": Later(
        "webhooks:webhooks", "List and replay callbacks, and show what they are signed with."
    ),
}


class Commands(click.Group):
    """Those above, by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The one of that name."""
        if cmd_name not in COMMANDS:
            return None
        gc.set_threshold(COLLECT_AFTER_OBJECTS)
        module, _, name = COMMANDS[cmd_name].place.partition(":")
        command: click.Command = getattr(import_module(f"{__package__}.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List them, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, later.does) for name, later in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="tts-backend")
def main() -> None:
    """Text-to-speech backend: takes texts over HTTP, has Replicate speak them, streams progress.

    `tts up` runs everything in one process and needs nothing installed. For several machines, run
    the parts (gateway, relay, processor, projector) against PostgreSQL, RabbitMQ and an S3 server.

    Settings come from the environment or from a file `.env` in the current folder; `.env.example`
    lists and explains all of them.
    """
