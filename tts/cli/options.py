"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def data_option(contents: str) -> Callable[[F], F]:
    """``--data``: the folder for ``contents``."""
    return click.option(
        "--data",
        "data_dir",
        type=click.Path(path_type=Path, file_okay=False),
        help=f"Folder for {contents} (DATA_DIR, default ./data).",
    )


def json_option(text: str = "Print JSON, for programs.") -> Callable[[F], F]:
    """``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=text)
