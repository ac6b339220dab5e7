"""The sandbox's own README: its examples print what it says, its tables are the catalogue."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from tests.services.ports import free_port
from tests.services.tts import Tts
from tts.sandbox import faults
from tts.sandbox.faults import CATALOGUE, explain

README = (Path(faults.__file__).parent / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
START, RULES = BLOCKS[0][1], next(body for language, body in BLOCKS if language == "json")
# What the README says that the examples of a language begin with.
PRELUDES = {"python": BLOCKS[1][1], "bash": BLOCKS[2][1]}
INTERPRETERS = {"python": [sys.executable, "-c"], "bash": ["bash", "-ec"]}
EXAMPLES = [
    pytest.param(language, body, printed, id=f"example{number}")
    for number, ((language, body), (kind, printed)) in enumerate(pairwise(BLOCKS))
    if kind == "text"
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A sandbox that was started as the README says, with its file of rules."""
    folder, port = tmp_path_factory.mktemp("sandbox"), free_port()
    (folder / "faults.json").write_text(RULES)
    command = START.replace("3003", str(port)).split()
    assert command.pop(0) == "tts"
    sandbox = Tts(*command, "--faults", str(folder / "faults.json"), "--data", str(folder))
    try:
        sandbox.wait_for(f"http://127.0.0.1:{port}/sandbox")
        yield port
    finally:
        sandbox.stop()


def run(language: str, body: str, port: int) -> str:
    """What an example prints."""
    program = f"{PRELUDES[language]}\n{body}".replace("3003", str(port))
    done = subprocess.run(
        [*INTERPRETERS[language], program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_file_of_rules_is_in_force_from_the_start(port: int) -> None:
    """Each rule of the README's file is shown, with its counters."""
    shown = orjson.loads(run("bash", "curl -s $sandbox/sandbox/faults", port))
    for rule, given in zip(shown, orjson.loads(RULES), strict=True):
        assert rule | given == rule


@pytest.mark.parametrize(("language", "body", "printed"), EXAMPLES)
def test_examples_print_what_the_readme_says(
    port: int, language: str, body: str, printed: str
) -> None:
    """Each as it stands there, but for the port."""
    assert run(language, body, port) == printed


def test_every_block_is_tried() -> None:
    """A command that nobody tries is not told: all but the beginnings and the file are examples."""
    languages = [language for language, _ in BLOCKS if language != "text"]
    assert len(languages) == len(EXAMPLES) + len([START, RULES]) + len(PRELUDES)


def test_tables_are_the_catalogue() -> None:
    """Each fault has a row with its arguments and its sentence, and no row is of another one."""
    rows = [
        "| `{}` | {} |".format(usage, sentence.replace("``", "`"))
        for route in ("create", "prediction", "webhook")
        for usage, sentence in (explain(*item) for item in CATALOGUE[route].items())
    ]
    assert re.findall(r"^\| `\w+\(.*\|$", README, re.MULTILINE) == rows
    assert all(f"`{route}`" in README for route in CATALOGUE)
