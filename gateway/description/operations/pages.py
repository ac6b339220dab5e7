"""The description itself, the pages and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.description.operation import JSON, Answer, Operation, header
from gateway.static_files import FILES, MODULES

SUMMARIES = {"/client": "The client for JavaScript"}
IF_NONE_MATCH = header("If-None-Match", "Answer 304 if the file has this ETag.", '"17-2a"')
MODULE = {
    "name": "module",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": MODULES},
    "example": "statuses.js",
}


def _file(summary: str, description: str, content_type: str) -> Operation:
    return Operation(
        tag="Pages",
        summary=summary,
        answers={
            200: Answer(description, None, content_type, {"ETag": "Names this content."}),
            304: Answer("The client has it", None, None),
        },
        parameters=(IF_NONE_MATCH,),
    )


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/openapi.json"): Operation(
        tag="Pages",
        summary="This document",
        answers={200: Answer("OpenAPI 3.1", None, JSON)},
    ),
    ("GET", "/docs"): Operation(
        tag="Pages",
        summary="This document, to be read",
        answers={200: Answer("A page", None, "text/html")},
    ),
    ("GET", "/"): _file("The dashboard", "A page", "text/html"),
    ("GET", "/page/{module}"): replace(
        _file("A module of the pages", "The module", "text/javascript"),
        parameters=(MODULE, IF_NONE_MATCH),
        errors=("not_found",),
    ),
} | {
    ("GET", path): _file(
        SUMMARIES.get(path.rpartition("/")[0], "A file of the pages"),
        "The file",
        kind.partition(";")[0],
    )
    for path, kind in FILES.items()
}
