"""The command: one line for each finding, and an exit code for scripts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click

from tts.cli.doctor import machine, services
from tts.cli.doctor.findings import Finding, Level, Look, wrong
from tts.cli.options import data_option, json_option
from tts.cli.output import echo, print_json
from tts.config import ConfigError, load

LOOK_SECONDS = 20.0
LOOKS: tuple[tuple[str, Look], ...] = (
    ("Settings", machine.look_at_settings),
    ("Open files", machine.look_at_files),
    ("DATA_DIR", machine.look_at_folder),
    ("AUDIO_FORMAT", machine.look_at_formats),
    ("Keys", machine.look_at_keys),
    ("TLS_CA_FILE", machine.look_at_authority),
    ("PORT", machine.look_at_ports),
    ("Event store", services.look_at_event_store),
    ("RABBITMQ_URL", services.look_at_broker),
    ("MINIO_ENDPOINT", services.look_at_audio),
    ("REPLICATE_API_TOKEN", services.look_at_replicate),
    ("TEMPLATE_BASE_URL", services.look_at_templates),
)
WIDTH = 20


@click.command()
@click.option("--host", help="Address to listen on (HOST, default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (PORT, default 3002).")
@json_option()
@data_option("the SQLite files and the audio")
def doctor(*, as_json: bool, **overrides: Any) -> None:
    """Look at settings, files, ports, database, broker, bucket and Replicate; change nothing.

    Prints a line for each: ok, note, or wrong with what to do. Ends with 1 if anything is wrong.
    In RabbitMQ, queues that are missing are declared, as a start does; in the bucket, an empty
    object is stored and removed.
    """
    with _silence():
        found = asyncio.run(_collected(overrides, loud=not as_json))
    bad = sum(finding.level is Level.WRONG for finding in found)
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        echo(f"\n{bad} to be mended." if bad else "\nAll is well.")
    if bad:
        raise SystemExit(1)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What libraries report is said by the findings."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


async def _collected(overrides: dict[str, Any], *, loud: bool) -> list[Finding]:
    found = []
    async for finding in _findings(overrides):
        if loud:
            echo(f"{finding.level:<6}{finding.subject:<{WIDTH}}  {finding.text}")
        found.append(finding)
    return found


async def _findings(overrides: dict[str, Any]) -> AsyncIterator[Finding]:
    try:
        settings = load(**overrides)
    except ConfigError as error:
        for line in str(error).splitlines():
            name, colon, rest = line.partition(": ")
            yield wrong(name, rest) if colon and name.isupper() else wrong("Settings", line)
        return
    looks = [asyncio.create_task(_bounded(name, look(settings))) for name, look in LOOKS]
    for look in looks:
        for finding in await look:
            yield finding


async def _bounded(subject: str, look: Any) -> Iterable[Finding]:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            findings: Iterable[Finding] = await look
            return findings
    except ConfigError as error:
        return [wrong(subject, str(error))]
    except TimeoutError:
        return [wrong(subject, f"no answer for {LOOK_SECONDS:g} s: is the address right?")]
