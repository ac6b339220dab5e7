"""The document's words in Chinese.

Those of the service, its tags and its operations stand in ``static/api.zh.md`` under the names of
what they are about; those of fields, parameters and answers in ``static/sentences.zh.md``, each
under its English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from gateway.description.schemas import Json
from gateway.static_files import STATIC


class Words(NamedTuple):
    """A ``title`` in a few words, and a ``text`` that may be empty."""

    title: str
    text: str


@cache
def words() -> Mapping[str, Words]:
    """By ``info``, a tag's name or an operation's id."""
    parts = re.split(r"^## (.+) \| (.+)\n", (STATIC / "api.zh.md").read_text(), flags=re.MULTILINE)
    found = {
        name: Words(title, text.strip())
        for name, title, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }
    failures = found.pop("failures").text
    found["Tasks"] = Words(
        found["Tasks"].title, found["Tasks"].text.replace("{failures}", failures)
    )
    return found


@cache
def failures() -> Mapping[str, tuple[str, str]]:
    """By its code what a failure means, and what to do about it."""
    text = words()["Tasks"].text
    lines = re.findall(r"^- `(\w+)`：([^。]+。)(.+)$", text, flags=re.MULTILINE)
    return {code: (meaning, action) for code, meaning, action in lines}


@cache
def sentences() -> Mapping[str, str]:
    """By the English, which is on one line."""
    text = (STATIC / "sentences.zh.md").read_text()
    return dict(re.findall(r"^> (.+)\n(.+)$", text, flags=re.MULTILINE))


def translated(document: Json) -> Json:
    """The document in Chinese; its names stay, tags excepted.

    What nobody has said in Chinese yet stays English.
    """
    known, base = words(), document["servers"][0]["url"]
    info = {"title": known["info"].title, "description": known["info"].text}
    changed: Json = _described(document)
    return changed | {
        "info": document["info"] | info,
        "tags": [
            {"name": known[tag["name"]].title, "description": known[tag["name"]].text}
            for tag in document["tags"]
        ],
        **{
            section: {
                path: {method: _operation(o, base) for method, o in methods.items()}
                for path, methods in changed[section].items()
            }
            for section in ("paths", "webhooks")
        },
    }


def _operation(operation: Json, base: str) -> Json:
    changed: Json = {"tags": [words()[tag].title for tag in operation["tags"]]}
    if operation["operationId"] not in words():
        return operation | changed
    title, text = words()[operation["operationId"]]
    changed["summary"] = title
    if text:
        changed["description"] = text.replace("{base}", base)
    return operation | changed


def _described(part: Any) -> Any:
    """The part of the document, with its descriptions in Chinese."""
    if isinstance(part, list):
        return [_described(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _said(value)
        if name == "description" and isinstance(value, str)
        else _described(value)
        for name, value in part.items()
    }


def _said(text: str) -> str:
    whole = sentences().get(" ".join(text.split()))
    return whole or re.sub(r"^- (?:(`\w+`): )?(.+)$", _listed, text, flags=re.MULTILINE)


def _listed(line: re.Match[str]) -> str:
    """A line of what a refusal may mean, each under its code if it has one."""
    code, meaning = line.groups()
    said = sentences().get(meaning, meaning)
    return f"- {code}：{said}" if code else f"- {said}"
