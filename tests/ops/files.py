"""The files of ops/ and what is in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.services.process import ServiceError
from tts.config import Settings

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
SETTINGS = {name.upper() for name in Settings.model_fields}


def documents(path: Path) -> list[Any]:
    """The documents of a YAML file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def document(path: Path) -> Any:
    """The only document of a YAML file."""
    (only,) = documents(path)
    return only


def names_in(file: str) -> list[str]:
    """The names that a file of settings sets, commented examples left out."""
    return re.findall(r"^([A-Z_0-9]+)=", (OPS / file).read_text(), re.MULTILINE)


def tool(name: str) -> str:
    """A program of the folder for tools, which `make ops` fills."""
    found = ROOT / ".venv/tools/bin" / name
    if not found.exists():
        raise ServiceError(f"{found} is missing; mend it with: make {found.relative_to(ROOT)}")
    return str(found)
