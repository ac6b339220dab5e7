"""Each operation as a command and as a few lines of code, to be copied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.description.operation import Operation
from gateway.description.schemas import Json


def samples(
    method: str, base: str, path: str, operation: Operation, *, guarded: bool
) -> list[Json]:
    """By language; ``base`` is where the service is."""
    for parameter in operation.parameters:
        path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example")))
    url = base + (operation.path_example or path)
    found = [{"lang": "Shell", "source": _curl(url, operation, guarded=guarded)}]
    if operation.scheme == "ws":
        return found
    if operation.id == "followTasks":
        return [*found, {"lang": "JavaScript", "source": _event_source(url)}]
    return [
        *found,
        {"lang": "JavaScript", "source": _javascript(method, url, operation, guarded=guarded)},
        {"lang": "Python", "source": _python(method, url, operation, guarded=guarded)},
    ]


def _curl(url: str, operation: Operation, *, guarded: bool) -> str:
    words = [f'{operation.curl} "{operation.scheme}{url.removeprefix("http")}"']
    if guarded:
        words.append('-H "Authorization: Bearer $TTS_KEY"')
    if operation.body is not None:
        words += ["-H 'Content-Type: application/json'", f"-d '{_json(operation.example)}'"]
    return " \\\n     ".join(words)


def _javascript(method: str, url: str, operation: Operation, *, guarded: bool) -> str:
    headers = {"Authorization": "`Bearer ${key}`"} if guarded else {}
    options = [f'method: "{method}"'] if method != "GET" else []
    if operation.body is not None:
        headers["Content-Type"] = '"application/json"'
    if headers:
        pairs = ", ".join(f'"{name}": {value}' for name, value in headers.items())
        options.append(f"headers: {{ {pairs} }}")
    if operation.body is not None:
        options.append(f"body: JSON.stringify({_json(operation.example)})")
    lines = "".join(f"\n  {option}," for option in options)
    more = f", {{{lines}\n}}" if lines else ""
    reader, _ = _readers(operation)
    return (
        f'const answer = await fetch("{url}"{more});\n'
        f"console.log(answer.status, await answer.{reader});"
    )


def _python(method: str, url: str, operation: Operation, *, guarded: bool) -> str:
    arguments = [f'"{method}"', f'"{url}"']
    if guarded:
        arguments.append('headers={"Authorization": f"Bearer {key}"}')
    if operation.body is not None:
        arguments.append(f"json={dict(operation.example or {})!r}")
    _, reader = _readers(operation)
    return (
        f"import httpx\n\nanswer = httpx.request({', '.join(arguments)})\n"
        f"print(answer.status_code, answer.{reader})"
    )


def _event_source(url: str) -> str:
    return (
        f'const stream = new EventSource("{url}");\n'
        'stream.addEventListener("task_update", (event) => console.log(JSON.parse(event.data)));'
    )


def _readers(operation: Operation) -> tuple[str, str]:
    """How the body of the answer is read, in JavaScript and in Python."""
    kinds = [kind for answer in operation.answers.values() for kind in answer.content_types]
    if any(kind.startswith("audio/") for kind in kinds):
        return "blob()", "content"
    if any(kind.startswith("text/") for kind in kinds):
        return "text()", "text"
    return "json()", "json()"


def _json(example: Mapping[str, Any] | None) -> str:
    return json.dumps(example, ensure_ascii=False)
