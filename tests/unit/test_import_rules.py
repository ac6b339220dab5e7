"""The rules in .importlinter refuse what they are there to refuse."""

from __future__ import annotations

import os
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
    ("tts/sandbox/stats.py", "tts.text.speech_rate"),
    ("tts/client/calls.py", "tts.wire"),
    ("tts/cli/commands.py", "sanic"),
    ("tts/replicate/webhook_secret.py", "psycopg"),
    ("tts/replicate/webhook_secret.py", "aio_pika"),
    ("tts/replicate/webhook_secret.py", "tts.store.sqlite"),
    ("tts/templates.py", "tts.replicate.predictions"),
    ("tts/parts/audio.py", "tts.bootstrap"),
    ("tts/store/documents.py", "tts.queue.memory"),
    ("tts/processor/processor.py", "tts.replicate.predictions"),
    ("tts/application/tasks.py", "tts.replicate.predictions"),
    ("tts/wire/updates.py", "tts.store.sqlite"),
    ("tts/replicate/predictions.py", "tts.application.tasks"),
    ("tts/relay/relay.py", "tts.processor.processor"),
    ("tts/domain/values.py", "tts.domain.task"),
    ("tts/domain/events.py", "httpx"),
    ("tts/ports/audio.py", "tts.application.tasks"),
    ("gateway/streams/hub.py", "tts.processor.processor"),
    ("gateway/access/keys.py", "gateway.streams.hub"),
    ("gateway/routes/tts.py", "tts.store.sqlite"),
    ("gateway/routes/tts.py", "psycopg"),
    ("projections/tasks.py", "gateway.streams.hub"),
    ("projections/tasks.py", "tts.relay.relay"),
    ("tts/audio/folder.py", "replicate"),
    ("tts/queue/memory.py", "minio"),
    ("gateway/routes/webhooks.py", "standardwebhooks"),
    ("gateway/routes/tokens.py", "itsdangerous"),
    ("tts/wire/updates.py", "regex"),
    ("gateway/models/fields.py", "sentencex"),
    ("tts/sandbox/stats.py", "rjieba"),
    ("gateway/app.py", "structlog"),
    ("gateway/commands.py", "opentelemetry"),
    ("tts/processor/processor.py", "soundfile"),
    ("gateway/routes/events.py", "websockets"),
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


@pytest.fixture(scope="module")
def clean(checkout: Path) -> tuple[int, str]:
    """What the linter says of the code as it stands."""
    return verdict(checkout)


@pytest.fixture(scope="module")
def report(clean: tuple[int, str], checkout: Path) -> str:
    """What it says when every rule is broken at once: a run for each would take a second."""
    for path, imported in IMPORTS:
        module = checkout / path
        code = module.read_text()
        assert FIRST_LINE in code
        module.write_text(code.replace(FIRST_LINE, f"{FIRST_LINE}\nimport {imported}\n", 1))
    for place in PLACES:
        (checkout / place / "lodger.py").write_text('"""Nothing."""\n')
    status, report = verdict(checkout)
    assert status == 1
    return report


def verdict(checkout: Path) -> tuple[int, str]:
    """How the linter exits, and what it says."""
    process = subprocess.run(
        [LINTER, "--no-cache"],
        cwd=checkout,
        env={**os.environ, "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return process.returncode, process.stdout + process.stderr


def test_the_code_keeps_the_rules(clean: tuple[int, str]) -> None:
    """As it stands, no contract is broken: what is refused below is refused for its own sake."""
    status, report = clean
    assert status == 0, report


@pytest.mark.parametrize(("path", "imported"), IMPORTS)
def test_an_import_that_climbs_or_leaves_its_home_is_refused(
    report: str, path: str, imported: str
) -> None:
    """A contract names this very import, not a longer way that others of the list opened."""
    module = path.removesuffix(".py").replace("/", ".")
    alone = rf"^- +{re.escape(module)} -> {re.escape(imported)} \(l\.\d+\)\n\n"
    assert re.search(alone, report, re.MULTILINE), report


@pytest.mark.parametrize("place", PLACES)
def test_a_module_that_stands_on_no_floor_is_refused(report: str, place: str) -> None:
    """A new module has to be given its floor."""
    assert f"- {place.replace('/', '.')}.lodger\n" in report
