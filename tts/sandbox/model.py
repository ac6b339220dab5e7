"""The model ``chenxwh/cosyvoice2-0.5b`` as its users see it: its input, its page, its versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tts.sandbox.problems import Refused, problem

OWNER = "chenxwh"
NAME = "cosyvoice2-0.5b"
VERSION = "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
CREATED_AT = "2025-03-06T00:00:00.000000Z"

INSTRUCTED = "Instructed Voice Generation"
TASKS = ("zero-shot voice clone", "cross-lingual voice clone", INSTRUCTED)

# One table for the validation and for the published schema.
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "source_audio": {
        "type": "string",
        "format": "uri",
        "title": "Source Audio",
        "description": "Source audio",
    },
    "source_transcript": {
        "type": "string",
        "title": "Source Transcript",
        "description": "Transcript of the source audio",
    },
    "tts_text": {
        "type": "string",
        "title": "Tts Text",
        "description": "Text of the audio to generate",
    },
    "task": {
        "type": "string",
        "title": "task",
        "enum": list(TASKS),
        "default": TASKS[0],
        "description": "Task to perform",
    },
    "instruction": {
        "type": "string",
        "title": "Instruction",
        "default": "",
        "description": f"Instruction for the {INSTRUCTED} task",
    },
}
REQUIRED = tuple(name for name, field in FIELDS.items() if "default" not in field)


def check_input(given: object) -> dict[str, Any]:
    """The input, if the schema allows it.

    Raises:
        Refused: 422 with one entry of ``invalid_fields`` for each mistake.
    """
    if not isinstance(given, dict):
        raise invalid([("required", "", "input is required")])
    wrong = [("required", "input", f"{name} is required") for name in REQUIRED if name not in given]
    for name, value in given.items():
        path = f"input.{name}"
        field = FIELDS.get(name)
        if field is None:
            # Models ignore what they do not know.
            continue
        if not isinstance(value, str):
            kind = _json_type(value)
            wrong.append(("invalid_type", path, f"Invalid type. Expected: string, given: {kind}"))
        elif "enum" in field and value not in field["enum"]:
            allowed = ", ".join(f'"{item}"' for item in field["enum"])
            wrong.append(("enum", path, f"{path} must be one of the following: {allowed}"))
        elif field.get("format") == "uri" and not _is_uri(value):
            wrong.append(("format", path, "Does not match format 'uri'"))
    if wrong:
        raise invalid(wrong)
    return given


def invalid(wrong: list[tuple[str, str, str]]) -> Refused:
    """A 422 for ``(type, field, description)`` entries."""
    lines = [f"- {field}: {text}\n" if field else f"- {text}\n" for _, field, text in wrong]
    return Refused(
        problem(
            422,
            detail="".join(lines),
            invalid_fields=[
                {"type": kind, "field": field, "description": text} for kind, field, text in wrong
            ],
        )
    )


def refusal_of_model(given: Mapping[str, Any]) -> str | None:
    """Why the model itself fails on an input that the schema allows, or None."""
    if given.get("task") == INSTRUCTED and not given.get("instruction"):
        return f"Please provide an instruction for the task {INSTRUCTED}."
    return None


def version_object(version: str) -> dict[str, Any]:
    """``GET /v1/models/{owner}/{name}/versions/{id}``."""
    properties = {name: {"x-order": i, **field} for i, (name, field) in enumerate(FIELDS.items())}
    return {
        "id": version,
        "created_at": CREATED_AT,
        "cog_version": "0.14.1",
        "openapi_schema": {
            "openapi": "3.0.2",
            "info": {"title": "Cog", "version": "0.1.0"},
            "components": {
                "schemas": {
                    "Input": {
                        "type": "object",
                        "title": "Input",
                        "required": list(REQUIRED),
                        "properties": properties,
                    },
                    "Output": {"type": "string", "title": "Output", "format": "uri"},
                }
            },
        },
    }


def model_object(version: str) -> dict[str, Any]:
    """``GET /v1/models/{owner}/{name}``."""
    return {
        "url": f"https://replicate.com/{OWNER}/{NAME}",
        "owner": OWNER,
        "name": NAME,
        "description": "Scalable streaming speech synthesis (a local stand-in)",
        "visibility": "public",
        "github_url": "https://github.com/FunAudioLLM/CosyVoice",
        "paper_url": None,
        "license_url": None,
        "run_count": 1,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": version_object(version),
    }


def _is_uri(value: str) -> bool:
    parts = urlsplit(value)
    return (parts.scheme in {"http", "https"} and bool(parts.netloc)) or parts.scheme == "data"


def _json_type(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")
