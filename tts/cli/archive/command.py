"""The commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import orjson

from projections import rebuild
from projections.ports import Database
from tts.bootstrap import Composition
from tts.cli.archive import files
from tts.cli.archive.choice import Choice, Stay, floor_of
from tts.cli.archive.return_to_log import bring_back
from tts.cli.archive.run import Ended, Run, Tally
from tts.cli.data_folder import check_folder
from tts.cli.dead_letters_options import Instant, TaskId
from tts.cli.errors import Tools
from tts.cli.on_log import on_log, on_read_models
from tts.cli.options import data_option, json_option
from tts.cli.output import echo, progress
from tts.cli.process import PRIVATE
from tts.config import ConfigError
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded

SHOW_SECONDS = 0.2
# Gateways and processors may be behind, and Replicate still have an output.
YOUNGEST = timedelta(hours=1)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
HOURS = {"h": 1, "d": 24, "w": 24 * 7}
folder_argument = click.argument(
    "folder", type=click.Path(path_type=Path, exists=True, file_okay=False)
)


class Age(click.ParamType[datetime | timedelta]):
    """A time, or how long ago."""

    name = "time or age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """From ISO 8601, or from hours, days or weeks such as 90d."""
        if match := re.fullmatch(r"(\d{1,5})([hdw])", str(value)):
            return timedelta(hours=int(match[1]) * HOURS[match[2]])
        if re.fullmatch(r"\d+\w?", str(value)):
            self.fail(f"{value!r} is no age such as 12h, 90d or 26w", param, ctx)
        return Instant().convert(value, param, ctx)


@contextlib.contextmanager
def _on_what_is_there() -> Iterator[None]:
    """Say in a sentence that somebody has seen more of the log than there is."""
    try:
        yield
    except WentBack as error:
        raise Unavailable(f"wait until the service has noticed: {error}") from error


@click.group(cls=Tools, invoke_without_command=True)
@click.option(
    "--before", type=Age(), help="Tasks over before then: ISO 8601, or an age such as 90d."
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the archives; run again with the same one.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@data_option("the SQLite files")
@click.pass_context
def archive(
    context: click.Context,
    *,
    before: datetime | timedelta | None,
    folder: Path | None,
    dry_run: bool,
    data_dir: Path | None,
) -> None:
    """Move the events of tasks that are long over out of the log, into compressed JSON lines.

    The service may run meanwhile. What is not over, a dead letter that nobody has dismissed, and a
    callback that was not delivered stay. Texts stay beside the log, where they can be erased. Each
    task answers as before, without its timeline; lists and numbers stay as they are.
    """
    if context.invoked_subcommand is not None:
        return
    if before is None or (folder is None and not dry_run):
        raise click.UsageError("give --before and --to (or --dry-run)")
    target = None if dry_run else folder
    if target is not None:
        os.umask(PRIVATE)
        check_folder(target, "--to")
    _archive_to(target=target, before=before, data_dir=data_dir)


@_on_what_is_there()
@on_read_models
async def _archive_to(
    parts: Composition, database: Database, *, target: Path | None, before: datetime | timedelta
) -> None:
    """Move the events into the folder; or only try it, without one."""
    now = parts.now()
    bound = now - before if isinstance(before, timedelta) else before
    if bound > now - YOUNGEST:
        raise ConfigError(f"--before must be at least an hour ago, not {bound.isoformat()}")
    if target is None:
        await _try(await _choice(parts, database, bound))
    else:
        async with parts.store.leadership(rebuild.NAME):
            await _archive(parts, database, bound, target)


async def _choice(parts: Composition, database: Database, bound: datetime) -> Choice:
    floor = await floor_of(parts.store, database)
    return Choice(parts.store, parts.application, parts.callback_table, bound, floor)


async def _try(choice: Choice) -> None:
    tally = Tally()
    async for history in choice.histories():
        tally.add(history)
    echo(
        f"{tally.tasks:,} tasks with {tally.events:,} events, {tally.bytes / 1e6:.1f} MB of JSON, "
        "would go."
    )
    await _tell_stay(choice)


async def _archive(parts: Composition, database: Database, bound: datetime, folder: Path) -> None:
    bar = Bar()
    run = Run(
        parts.store,
        parts.application,
        folder,
        version=version("tts-backend"),
        observe=bar.moved,
    )
    choice = None
    with _ending(run), contextlib.suppress(Ended):
        await run.resume()
        choice = await _choice(parts, database, bound)
        choice.is_ended = lambda: run.ended
        await run.move(choice)
    bar.end()
    tally = run.tally
    size = sum(each.manifest.bytes for each in tally.archives)
    echo(
        f"{tally.tasks:,} tasks with {tally.events:,} events went to {folder} "
        f"({len(tally.archives)} archives, {size / 1e6:.1f} MB)."
    )
    if run.ended:
        echo("Ended before all was done: run it again with the same folder to go on.")
    elif choice is not None:
        await _tell_stay(choice)
    if tally.tasks:
        echo(await parts.store.archive.free_space())


async def _tell_stay(choice: Choice) -> None:
    for stay in Stay:
        if count := choice.stay[stay]:
            echo(f"  stay: {count:,} {stay}")
    if await choice.is_held_back():
        floor = choice.floor
        echo(f"Nothing behind position {floor.position} could go: {floor.last} stands there.")
    if choice.stay[Stay.LETTER]:
        echo("Dead letters go when they are dismissed: tts dead-letters dismiss --until TIME")


@contextlib.contextmanager
def _ending(run: Run) -> Iterator[None]:
    """Ctrl-C ends the run between two transactions."""

    def end() -> None:
        run.ended = True

    loop = asyncio.get_running_loop()
    with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
        for number in SIGNALS:
            loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


class Bar:
    """What has gone so far, on a terminal, now and then."""

    def __init__(self) -> None:
        self._shown = 0.0
        self._is_shown = sys.stderr.isatty()

    def moved(self, tally: Tally) -> None:
        """Take note."""
        if self._is_shown and time.monotonic() - self._shown >= SHOW_SECONDS:
            self._shown = time.monotonic()
            progress(f"{tally.tasks:,} tasks, {tally.events:,} events   ")

    def end(self) -> None:
        """Go on below."""
        if self._is_shown and self._shown:
            echo(err=True)


@archive.command("list")
@folder_argument
@json_option()
def list_(*, folder: Path, as_json: bool) -> None:
    """Show the archives in FOLDER, and whether they are whole; exit code 1 if one is not."""
    broken = False
    for each in files.archives(folder):
        manifest, state = each.manifest, "whole"
        try:
            each.check()
        except ConfigError as error:
            broken, state = True, str(error)
        if as_json:
            echo(orjson.dumps({**vars(manifest), "state": state}).decode())
        else:
            echo(
                f"{manifest.name}  {manifest.tasks:,} tasks, {manifest.events:,} events, "
                f"{manifest.bytes / 1e6:.1f} MB, over before {manifest.before}  {state}"
            )
    if broken:
        sys.exit(1)


@archive.command()
@folder_argument
@click.argument("task", type=TaskId())
@json_option()
def show(*, folder: Path, task: UUID, as_json: bool) -> None:
    """Print the events of TASK in the archives of FOLDER."""
    found: dict[int, Recorded] = {}
    for each in files.archives(folder):
        found |= {event.position: event for event in each.events() if event.task_id == task}
    if not found:
        raise ConfigError(f"no archive in {folder} has the task {task}")
    for event in sorted(found.values(), key=lambda event: event.position):
        if as_json:
            echo(files.line(event).decode().rstrip())
        else:
            echo(f"{event.position}  {event.topic}  {event.state.decode()}")


@archive.command()
@folder_argument
@_on_what_is_there()
@on_log
async def restore(parts: Composition, *, folder: Path) -> None:
    """Bring the events in the archives of FOLDER back into their log, where they were.

    What was erased since then stays erased.
    """
    async with parts.store.leadership(rebuild.NAME):
        tasks, missing = await bring_back(parts.store, parts.application, folder)
    echo(f"{tasks:,} tasks are back in the log.")
    for standing in missing:
        echo(f"{standing.tasks:,} are in the archive {standing.name}, which is not in {folder}.")
