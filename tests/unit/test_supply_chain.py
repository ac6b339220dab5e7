"""What is installed is what was locked, and an audit never vouches for what it has not asked."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.audit import verdict

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
LINES = [Requirement(line) for line in re.findall(r"^[\w.-]+==[^\\\n]+", LOCK, re.MULTILINE)]
PINNED = {  # on this platform
    canonicalize_name(line.name): Version(next(iter(line.specifier)).version)
    for line in LINES
    if line.marker is None or line.marker.evaluate()
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Below these the packages have known holes.
FLOORS = {"sanic": "25.12.1", "orjson": "3.11.6", "aiohttp": "3.14.1"}


def requirements() -> list[Requirement]:
    """What the project asks for, for running and for testing."""
    lines = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_locked_within_its_bounds(requirement: Requirement) -> None:
    """`make lock` was run since pyproject.toml changed."""
    version = PINNED[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_every_package_has_hashes_and_no_address() -> None:
    """What comes from anywhere is checked, and nobody is told where to get it."""
    packages = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(packages) == len(LINES)
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in LOCK
    assert "index-url" not in LOCK


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_with_known_holes_is_allowed(name: str) -> None:
    """Not even by hand: the floor stands in pyproject.toml."""
    (requirement,) = (r for r in requirements() if r.name == name)
    below = Version(FLOORS[name] + ".dev0")
    assert not requirement.specifier.contains(below, prereleases=True)


def test_what_is_installed_is_what_is_locked() -> None:
    """The tests run against the very packages that `make setup` installs."""
    installed = {canonicalize_name(d.name): Version(d.version) for d in distributions()}
    others = {
        name: (str(version), str(PINNED[name]))
        for name, version in installed.items()
        if name in PINNED and version != PINNED[name]
    }
    assert not others


class TestAnAudit:
    def test_finds_nothing(self) -> None:
        """Every package was looked up, and nothing is known."""
        assert verdict([{"name": "sanic", "version": "1", "vulns": []}]) == 0

    def test_names_a_hole(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With the package, the hole and the version that mends it."""
        hole = {"id": "CVE-1", "fix_versions": ["2"]}
        assert verdict([{"name": "sanic", "version": "1", "vulns": [hole]}]) == 1
        assert "sanic 1: CVE-1, mended in 2" in capsys.readouterr().err

    @pytest.mark.parametrize("packages", [[], [{"name": "sanic", "skip_reason": "not found"}]])
    def test_does_not_vouch_for_what_was_not_looked_up(self, packages: list) -> None:
        """An unread list is no clean one."""
        assert verdict(packages) == 2
