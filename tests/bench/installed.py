"""What the peers run with: npm and PyPI packages, apart from the project's own environment.

They are installed once, into the folder that BENCH_CACHE names, and anew when their list changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from functools import cache
from pathlib import Path

from tests.services.process import program, run

PROGRAMS = Path(__file__).parent / "peer_programs"
DEFAULT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tts-bench"


@cache
def python() -> str:
    """The interpreter that has the packages of requirements.txt."""
    folder, fresh = _folder("requirements.txt")
    if fresh:
        run(sys.executable, "-m", "venv", str(folder))
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
        run(*pip, "--requirement", str(PROGRAMS / "requirements.txt"))
        _finish(folder)
    return str(folder / "bin/python")


@cache
def javascript() -> Path:
    """The folder with the programs in JavaScript beside the packages of package.json."""
    folder, fresh = _folder("package.json")
    npm = program("npm", "npm")
    if fresh:
        shutil.copy(PROGRAMS / "package.json", folder)
        run(npm, "install", "--no-audit", "--no-fund", "--no-package-lock", folder=folder)
        _finish(folder)
    for source in PROGRAMS.glob("*.mjs"):
        shutil.copy(source, folder)
    return folder


def version_of(package: str) -> str:
    """The installed version of a peer's package, ``fastapi`` or ``npm:express``."""
    if package.startswith("npm:"):
        path = javascript() / "node_modules" / package.removeprefix("npm:") / "package.json"
        return str(json.loads(path.read_text())["version"])
    question = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    return run(python(), "-c", question, package).strip()


def _folder(list_: str) -> tuple[Path, bool]:
    """Where a list's packages are, and whether that is empty yet."""
    digest = hashlib.sha256((PROGRAMS / list_).read_bytes()).hexdigest()[:12]
    folder = Path(os.environ.get("BENCH_CACHE") or DEFAULT) / f"{Path(list_).stem}-{digest}"
    if (folder / _DONE).exists():
        return folder, False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder, True


_DONE = "installed"  # marks a folder in which nothing is missing


def _finish(folder: Path) -> None:
    (folder / _DONE).touch()
