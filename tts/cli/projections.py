"""``tts projections``: the read models, for who wonders whether they are right."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from projections import registry
from projections.advance import Unreadable
from projections.all_models import PROJECTIONS
from projections.ports import Database
from projections.rebuild import NotWhole, Rebuild, Source, Verdict
from tts.bootstrap import Composition
from tts.cli.archive.whole_log import WholeLog
from tts.cli.errors import Tools
from tts.cli.on_log import on_read_models
from tts.cli.options import json_option
from tts.cli.output import echo, print_json, progress
from tts.observability.lag import lag
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable

MODELS = {projection.name: projection for projection in PROJECTIONS}
SHOW_SECONDS = 0.2
BAR = 30
name = click.Choice(sorted(MODELS))
archive_option = click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Folder of archives, if events were moved out of the log (`tts archive`).",
)


@contextlib.contextmanager
def _from_this_log() -> Iterator[None]:
    """Say in a sentence that what is asked cannot be made now."""
    try:
        yield
    except (NotWhole, Unreadable, WentBack) as error:
        raise Unavailable(f"it cannot be made from this log now: {error}") from error


@click.group(cls=Tools)
def projections() -> None:
    """List, rebuild and verify the read models, which lists and statistics are read from.

    Whatever is in them comes from the log. The service may run meanwhile.
    """


@projections.command("list")
@json_option()
@_from_this_log()
@on_read_models
async def list_(parts: Composition, database: Database, *, as_json: bool) -> None:
    """Show how far each read model has come, and whether it goes on."""
    rows = [await _row(parts, each) for each in await registry.standings(database)]
    if as_json:
        print_json({"readModels": rows})
    for row in [] if as_json else rows:
        behind = row["lag"] or {"events": "?", "seconds": "?"}
        echo(
            f"{row['name']:<13} position {row['position']:<9} {behind['events']} events, "
            f"{behind['seconds']} s behind   {row['state']}"
        )


async def _row(parts: Composition, standing: registry.Standing) -> dict[str, Any]:
    state = "serving" if standing.serving else "being made, or left over from that"
    return {
        "name": standing.name,
        "version": standing.version,
        "position": standing.position,
        "lag": await lag(parts.store, standing.position, parts.now()),
        "state": standing.trouble or state,
        "madeSince": standing.began_at or None,
    }


@projections.command()
@click.argument("names", type=name, nargs=-1, required=True)
@archive_option
@_from_this_log()
@on_read_models
async def rebuild(
    parts: Composition, database: Database, *, names: tuple[str, ...], archives: tuple[Path, ...]
) -> None:
    """Make read models anew from the log, and from what was archived.

    The old rows serve until the new ones have caught up; then these take their place at once.
    """
    chosen = [projection for name, projection in MODELS.items() if name in names]
    bar = await _bar("rebuild", parts)
    await (await _maker(parts, database, bar, archives)).replace(chosen)
    bar.end()
    echo(f"{', '.join(each.name for each in chosen)}: made anew from {bar.summary()}.")


@projections.command()
@click.argument("model", metavar="NAME", type=name)
@archive_option
@json_option()
@_from_this_log()
@on_read_models
async def verify(
    parts: Composition, database: Database, *, model: str, archives: tuple[Path, ...], as_json: bool
) -> None:
    """Compare a read model with what the log gives; exit code 1 if they differ."""
    bar = await _bar("verify", parts)
    verdict = await (await _maker(parts, database, bar, archives)).verify(MODELS[model])
    bar.end()
    if as_json:
        print_json(_as_json(model, verdict))
    else:
        _tell(model, verdict)
    if verdict.differences:
        sys.exit(1)


async def _bar(work: str, parts: Composition) -> Bar:
    """For work on the whole log."""
    end = await parts.store.position()  # whose epoch is known then, too
    span = partial(parts.store.epochs.span, 0)
    return Bar(work, span(end), span)


async def _maker(
    parts: Composition, database: Database, bar: Bar, archives: Sequence[Path]
) -> Rebuild:
    """Whatever makes read models anew, from the log and the archives in these folders."""
    source: Source = await WholeLog.of(parts.store, archives) if archives else parts.store
    return Rebuild(source, database, observe=bar.reached)


def _as_json(model: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "name": model,
        "position": verdict.position,
        "rows": verdict.rows,
        "differences": [
            {"table": each.table, "missing": each.missing, "surplus": each.surplus}
            for each in verdict.differences
        ],
    }


def _tell(model: str, verdict: Verdict) -> None:
    if not verdict.differences:
        echo(f"{model}: all {verdict.rows} rows are as the log gives them, at {verdict.position}.")
        return
    for each in verdict.differences:
        echo(
            f"{model}: in {each.table} {each.missing} rows are not as the log gives them, and "
            f"{each.surplus} rows are of no event."
        )
        for origin, row in each.examples:
            echo(f"  {origin}: {row}")
    echo(f"Make it anew: tts projections rebuild {model}")


class Bar:
    """How far the work has come, on a terminal, now and then.

    It has to go through ``whole`` events; ``count`` tells how many there are up to a position.
    """

    def __init__(self, work: str, whole: int, count: Callable[[int], int]) -> None:
        self._work = work
        self._whole = whole
        self._count = count
        self._began = self._shown = time.monotonic()
        self._done = 0
        self._is_shown = sys.stderr.isatty()

    def reached(self, position: int) -> None:
        """Take note of the position in the log."""
        self._done = self._count(position)
        now = time.monotonic()
        if self._is_shown and now - self._shown >= SHOW_SECONDS:
            self._shown = now
            share = self._done / max(self._whole, self._done, 1)
            left = (now - self._began) * (1 - share) / max(share, 0.001)
            full = round(share * BAR)
            progress(
                f"{self._work} [{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {self.summary()}, "
                f"{left:.0f} s left   "
            )

    def end(self) -> None:
        """Go on below the bar."""
        if self._is_shown:
            echo(err=True)

    def summary(self) -> str:
        """What was read and how fast."""
        seconds = max(time.monotonic() - self._began, 0.001)
        return f"{self._done:,} events in {seconds:.1f} s ({self._done / seconds:,.0f}/s)"
