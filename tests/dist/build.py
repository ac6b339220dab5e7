"""Builds the distributions: of the service, of the client for Python, of the client for npm."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = Path("tts") / "client"
STATIC = Path("gateway") / "static"
JAVASCRIPT = ("SSEClient.js", "SSEClient.mjs", "SSEClient.d.ts", "SSEClient.d.mts")
TESTS = Path("tests") / "clients" / "javascript"

_BUILD = "import sys, setuptools.build_meta as b; getattr(b, f'build_{sys.argv[1]}')(sys.argv[2])"


def source(folder: Path) -> Path:
    """A copy of what git knows, since a build leaves files behind."""
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def python(project: Path, out: Path) -> None:
    """The sdist of a project, and the wheel that comes of this sdist alone."""
    _build("sdist", project, out)
    (sdist,) = out.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        _build("wheel", unpacked, out)


def client(source: Path, out: Path) -> None:
    """Sdist and wheel of the client."""
    shutil.copy(source / "LICENSE", source / CLIENT)
    python(source / CLIENT, out)


def npm(source: Path, out: Path) -> None:
    """The folder of the npm package, with its tests."""
    static = source / STATIC
    shutil.copytree(static / "npm", out)
    for name in JAVASCRIPT:
        shutil.copy(static / name, out)
    shutil.copy(source / "LICENSE", out)
    (out / "test").mkdir()
    for name in ("client.test.mjs", "scripted.mjs"):
        text = (source / TESTS / name).read_text()
        (out / "test" / name).write_text(text.replace("../../../gateway/static/", "../"))


def _build(kind: str, project: Path, out: Path) -> None:
    command = [sys.executable, "-c", _BUILD, kind, str(out.absolute())]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{project}: no {kind}: {done.stderr[-2000:]}")
