"""The rules in .importlinter refuse what they are there to refuse."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")
FIRST_LINE = "from __future__ import annotations\n"

IMPORTS = [
    ("tts/sandbox/stats.py", "from tts.text import speech_rate"),
    ("tts/client/calls.py", "from tts import wire"),
    ("tts/cli/commands.py", "import sanic"),
    ("tts/replicate/webhook_secret.py", "import psycopg"),
    ("tts/replicate/webhook_secret.py", "import aio_pika"),
    ("tts/replicate/webhook_secret.py", "from tts.store.sqlite import SQLiteStore"),
    ("tts/templates.py", "from tts.replicate import predictions"),
    ("tts/parts/audio.py", "from tts.bootstrap import Composition"),
    ("tts/store/documents.py", "from tts.queue.memory import MemoryQueue"),
    ("tts/processor/processor.py", "from tts.replicate.predictions import ReplicatePredictions"),
    ("tts/application/tasks.py", "from tts.replicate.predictions import ReplicatePredictions"),
    ("tts/wire/updates.py", "from tts.store.sqlite import SQLiteStore"),
    ("tts/replicate/predictions.py", "from tts.application.tasks import Application"),
    ("tts/relay/relay.py", "from tts.processor.processor import Processor"),
    ("tts/domain/values.py", "from tts.domain import task"),
    ("tts/domain/events.py", "import httpx"),
    ("tts/ports/audio.py", "from tts.application.tasks import Application"),
    ("gateway/streams/hub.py", "from tts.processor.processor import Processor"),
    ("gateway/access/keys.py", "from gateway.streams.hub import Hub"),
    ("gateway/routes/tts.py", "from tts.store.sqlite import SQLiteStore"),
    ("gateway/routes/tts.py", "import psycopg"),
    ("projections/tasks.py", "from gateway.streams.hub import Hub"),
    ("projections/tasks.py", "from tts.relay.relay import Relay"),
    ("tts/audio/folder.py", "import replicate"),
    ("tts/queue/memory.py", "import minio"),
    ("gateway/routes/webhooks.py", "import standardwebhooks"),
    ("gateway/routes/tokens.py", "import itsdangerous"),
    ("tts/wire/updates.py", "import regex"),
    ("gateway/models.py", "import sentencex"),
    ("tts/sandbox/stats.py", "import rjieba"),
    ("gateway/app.py", "import structlog"),
    ("tts/processor/processor.py", "import soundfile"),
    ("gateway/routes/events.py", "import websockets"),
]
PLACES = ["tts", "tts/domain", "gateway"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code and of its rules."""
    folder = tmp_path_factory.mktemp("checkout")
    for package in ("tts", "gateway", "projections"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


def verdict(checkout: Path) -> tuple[int, str]:
    """How the linter exits, and what it says."""
    process = subprocess.run(
        [LINTER, "--no-cache"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return process.returncode, process.stdout + process.stderr


def test_the_code_keeps_the_rules(checkout: Path) -> None:
    """As it stands, no contract is broken: what is refused below is refused for its own sake."""
    status, report = verdict(checkout)
    assert status == 0, report


@pytest.mark.parametrize(("path", "line"), IMPORTS)
def test_an_import_that_climbs_or_leaves_its_home_is_refused(
    checkout: Path, path: str, line: str
) -> None:
    """Each one breaks a contract, which names the module that did it."""
    module = checkout / path
    code = module.read_text()
    assert FIRST_LINE in code
    module.write_text(code.replace(FIRST_LINE, f"{FIRST_LINE}\n{line}\n", 1))
    try:
        status, report = verdict(checkout)
    finally:
        module.write_text(code)
    assert status == 1
    assert re.search(r"[1-9]\d* broken", report), report
    assert path.removesuffix(".py").replace("/", ".") in report.replace("\n", "")


@pytest.mark.parametrize("place", PLACES)
def test_a_module_that_stands_on_no_floor_is_refused(checkout: Path, place: str) -> None:
    """A new module has to be given its floor."""
    module = checkout / place / "lodger.py"
    module.write_text('"""Nothing."""\n')
    try:
        status, report = verdict(checkout)
    finally:
        module.unlink()
    assert status == 1
    assert "lodger" in report
