"""The API's description is content for validators, and generators make clients of it that compile.

The tools are fetched by `make generators`, and are no part of what the service needs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.access.roles import Need
from gateway.description import chinese, openapi
from gateway.description.operations import OPERATIONS
from tests.ops.files import tool
from tests.services.process import program, run
from tts.config import Settings

pytestmark = [pytest.mark.generators, pytest.mark.timeout(600)]
HERE = Path(__file__).parent
CLIENT = "text_to_speech_client"
IMPORT_ALL = f"""
import importlib, pkgutil, {CLIENT}.api
for module in pkgutil.walk_packages({CLIENT}.api.__path__, "{CLIENT}.api."):
    importlib.import_module(module.name)
"""
STRICT = ("--noEmit", "--strict", "--target", "es2022", "--skipLibCheck")


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole of it, in a file."""
    file = tmp_path_factory.mktemp("description") / "openapi.json"
    served = dict.fromkeys(OPERATIONS, Need.READ)
    document = openapi.document(Settings(_env_file=None), served, guarded=True)
    file.write_text(json.dumps(document))
    file.with_name("openapi.zh.json").write_text(json.dumps(chinese.translated(document)))
    return file


@pytest.fixture(scope="module")
def packages() -> Path:
    """What ``package.json`` beside this file names, installed; its programs."""
    run(program("npm", "npm"), "install", "--no-audit", "--no-fund", "--prefix", str(HERE))
    return HERE / "node_modules/.bin"


@pytest.mark.parametrize("name", ["openapi.json", "openapi.zh.json"])
def test_validators_are_content(description: Path, packages: Path, name: str) -> None:
    """By openapi-spec-validator, and by Redocly's rules for the specification."""
    file = str(description.with_name(name))
    run(tool("openapi-spec-validator"), file)
    quiet = {**os.environ, "REDOCLY_TELEMETRY": "off"}
    run(str(packages / "redocly"), "lint", file, "--extends=spec", env=quiet)


def test_datamodel_codegen_makes_models(description: Path, tmp_path: Path) -> None:
    """Of pydantic, which can be imported."""
    options = ("--input-file-type=openapi", "--output-model-type=pydantic_v2.BaseModel")
    models = tmp_path / "models.py"
    run(tool("datamodel-codegen"), f"--input={description}", *options, f"--output={models}")
    run(tool("python"), "-c", "import models; models.TaskUpdate", folder=tmp_path)


def test_openapi_python_client_makes_a_client(description: Path, tmp_path: Path) -> None:
    """With a module for each operation of the API, all of which can be imported."""
    made = tmp_path / "made"
    run(tool("openapi-python-client"), "generate", f"--path={description}", f"--output-path={made}")
    modules = {path.stem for path in (made / CLIENT / "api").glob("*/*.py")} - {"__init__"}
    assert {"create_speech", "get_task", "list_tasks", "cancel_task"} <= modules
    assert len(modules) == len(OPERATIONS)
    run(tool("python"), "-c", IMPORT_ALL, folder=made)


def test_openapi_typescript_makes_types(description: Path, packages: Path, tmp_path: Path) -> None:
    """The strict compiler takes them."""
    types = str(tmp_path / "types.ts")
    run(str(packages / "openapi-typescript"), str(description), "--output", types)
    run(str(packages / "tsc"), *STRICT, types)


def test_hey_api_makes_a_client(description: Path, packages: Path, tmp_path: Path) -> None:
    """The strict compiler takes it."""
    made = tmp_path / "made"
    run(str(packages / "openapi-ts"), "--input", str(description), "--output", str(made))
    modules = (
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "--lib",
        "es2022,dom,dom.iterable",
    )
    run(str(packages / "tsc"), *STRICT, *modules, str(made / "index.ts"))
