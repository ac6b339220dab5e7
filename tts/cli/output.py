"""The one way from a command to the terminal: what is printed may come from anywhere."""

from __future__ import annotations

from typing import IO, Any

import click
import orjson

from tts.observability.visible import visible


def echo(text: str = "", *, file: IO[Any] | None = None, err: bool = False) -> None:
    """Print lines; any other control character in them is made visible."""
    click.echo(visible(text, keep="\n\t"), file, err=err)


def print_json(what: object) -> None:
    """For programs."""
    echo(orjson.dumps(what, option=orjson.OPT_INDENT_2).decode())


def progress(text: str) -> None:
    """Show a line on standard error in place of the one before."""
    click.echo(f"\r{visible(text)} ", nl=False, err=True)
