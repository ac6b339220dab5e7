"""Every error code that a description shows is one that the service can answer with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from gateway import errors
from gateway.description import openapi, prose
from gateway.description.operations import OPERATIONS
from tts.domain import failures
from tts.wire import SkipReason

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "gateway" / "static"
OF_TASKS = {code for code, _ in failures.TABLE} | {"canceled"}
OF_THE_GATEWAY = openapi.STATUSES.keys() | set(errors.HTTP_CODES.values())
CODES = OF_TASKS | OF_THE_GATEWAY | set(get_args(SkipReason))
# `"code": "…"`, `?code=…` and `--code …`: how JSON, a query and a shell name a code.
SHOWN = re.compile(r"""(?:["']?\bcode["']?: ?["']|[?&]code=|--code[ =])(\w+)""")
TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "ops").rglob("*.md"),
    STATIC / "asyncapi.yaml",
    *STATIC.glob("*.html"),
]


def test_examples_of_operations_use_codes_that_a_task_can_fail_with():
    """Who copies an example finds what it is about."""
    codes = [
        code
        for operation in OPERATIONS.values()
        for text in (json.dumps(operation.example), operation.path_example, operation.description)
        for code in SHOWN.findall(text)
    ]
    assert codes, "no example shows a code"
    assert set(codes) <= OF_TASKS


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_show_codes_that_exist(path: Path):
    """In requests, answers and commands."""
    assert set(SHOWN.findall(path.read_text())) <= CODES


def test_the_description_names_codes_that_exist():
    """Of what may befall any request, and of each operation."""
    texts = (openapi.INFO, prose.SSE, prose.WEBSOCKET)
    statuses = re.findall(r"\d{3}\s`(\w+)`", openapi.INFO)
    assert len(statuses) > 5
    assert set(statuses) <= OF_THE_GATEWAY
    assert {code for text in texts for code in SHOWN.findall(text)} <= CODES
    for operation in OPERATIONS.values():
        assert set(operation.errors) <= OF_THE_GATEWAY


def test_the_javascript_client_names_codes_that_exist():
    """Those that its types list are the service's, or its own."""
    declarations = (STATIC / "SSEClient.d.ts").read_text()
    (comment,) = re.findall(r"/\*\*((?:(?!\*/).)*)\*/\s+readonly code", declarations, re.DOTALL)
    script = (STATIC / "SSEClient.js").read_text()
    own = set(re.findall(r'code: "(\w+)"|\babandon\("(\w+)"\)|\? "(\w+)" : "(\w+)"', script))
    own_codes = {code for codes in own for code in codes if code}
    named = set(re.findall(r"`(\w+)`", comment))
    assert len(named) > 10
    assert named <= CODES | own_codes


def test_the_python_client_names_codes_that_exist():
    """Those that its error lists are the service's, or its own."""
    folder = ROOT / "tts" / "client"
    sources = {path.name: path.read_text() for path in folder.glob("*.py")}
    named = set(re.findall(r"``([a-z]+_[a-z_]+|canceled|timeout)``", sources["errors.py"]))
    named -= {"retry_after"}
    own = {c for s in sources.values() for c in re.findall(r'(?:code|NO_ANSWER) ?= ?"(\w+)"', s)}
    assert len(named) > 5
    assert named <= CODES | own
