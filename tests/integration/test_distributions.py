"""What is released, as far as it can be seen without installing it; ``make dist`` does that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.dist import build, trial

ROOT = build.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLIENT = tomllib.loads((ROOT / build.CLIENT / "pyproject.toml").read_text())["project"]
NPM = json.loads((ROOT / build.STATIC / "npm" / "package.json").read_text())


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with the service, the client and the npm package."""
    folder = tmp_path_factory.mktemp("dist")
    source = build.source(folder / "source")
    build.python(source, folder / "service")
    build.client(source, folder / "client")
    build.npm(source, folder / "npm")
    return folder


def names(folder: Path) -> set[str]:
    """The files of the wheel in the folder."""
    (wheel,) = folder.glob("*.whl")
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_all_have_one_version():
    """That of the newest part of the changelog."""
    (newest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {PROJECT["version"], CLIENT["version"], NPM["version"]} == {newest}


def test_the_client_needs_what_the_service_needs():
    """Nothing but httpx and httpx-sse, in the versions that the tests run with."""
    assert {re.split("[<>=]", each)[0] for each in CLIENT["dependencies"]} == {"httpx", "httpx-sse"}
    assert set(CLIENT["dependencies"]) <= set(PROJECT["dependencies"])


def test_service_and_client_share_no_file(outs: Path):
    """Either can go and leave the other whole; and nothing of the service is forgotten."""
    service, client = names(outs / "service"), names(outs / "client")
    assert not service & client
    kept = {".py", ".sql", ".js", ".mjs", ".ts", ".html", ".css", ".yaml"}
    for room in ("tts", "gateway", "projections"):
        files = {path for path in (outs / "source" / room).rglob("*") if path.suffix in kept}
        listed = {str(path.relative_to(outs / "source")) for path in files}
        assert listed <= service | client


def test_the_client_comes_without_the_service(outs: Path, tmp_path: Path):
    """It is small, has types, and can be imported where there is no service."""
    (wheel,) = (outs / "client").glob("*.whl")
    assert wheel.stat().st_size < trial.CLIENT_MAX_BYTES
    assert "tts/client/py.typed" in names(outs / "client")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    site = str(Path(httpx.__file__).parents[1])
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {site!r}]; import tts.client\n"
        "import importlib.util; assert importlib.util.find_spec('tts.domain') is None"
    )
    # -S: what is installed for developing is not looked for.
    subprocess.run([sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, check=True)


def test_the_npm_package_has_every_file_that_it_names(outs: Path):
    """Entries and types of browsers and of Node, and the tests that `npm test` runs."""

    def files(entry: object) -> set[str]:
        if isinstance(entry, dict):
            return {name for each in entry.values() for name in files(each)}
        return {str(entry)}

    named = files(NPM["exports"]) | {NPM["main"], NPM["types"]}
    assert len(named) > 5
    assert [name for name in named if not (outs / "npm" / name).is_file()] == []
    test = (outs / "npm" / "test" / "client.test.mjs").read_text()
    assert '"../SSEClient.mjs"' in test
    assert "gateway" not in test
