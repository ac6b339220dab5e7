"""The OpenAPI document as one page that needs nothing from elsewhere, not even a script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #172033; --line: #d8dee8; --soft: #eef1f6;
  --accent: #1d4ed8; background: var(--page); color: var(--ink); }
@media (prefers-color-scheme: dark) { :root { --page: #0f131c; --ink: #e8ecf5; --line: #2a3346;
  --soft: #1c2332; --accent: #89a3ff; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font: 0.875em/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem 1rem; border-radius: .5rem; overflow-x: auto; }
:not(pre) > code { background: var(--soft); padding: .1em .3em; border-radius: .25em; }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
h2, h3 { margin-bottom: .25rem; overflow-wrap: anywhere; }
h2 b { color: var(--accent); }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; }
tr + tr { border-top: 1px solid var(--line); }
td > :first-child { margin-top: 0; } td > :last-child { margin-bottom: 0; }
a { color: var(--accent); }
"""
LIMITS = {
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "minimum": "from {}",
    "maximum": "to {}",
    "pattern": "matching {}",
    "default": "({} if left out)",
}
LIMITS_ZH = {
    "minLength": "至少 {} 个字符",
    "maxLength": "至多 {} 个字符",
    "minimum": "从 {}",
    "maximum": "到 {}",
    "pattern": "符合 {}",
    "default": "（省略时为 {}）",
}


@dataclass(frozen=True)
class Words:
    """What stands around the document's own words."""

    code: str = "en"
    other: str = '<a href="?lang=zh" lang="zh">中文</a>'
    api: str = "the API"
    version: str = "Version"
    to_try: str = "to send requests"
    machines: str = "for machines"
    parameters: str = "Parameters"
    body: str = "Body"
    answers: str = "Answers"
    schemas: str = "Schemas"
    optional: str = "may be absent"
    either: str = " or "
    several: str = "list of {}"
    anything: str = "anything"
    limits: Mapping[str, str] = field(default_factory=lambda: LIMITS)


WORDS = {
    "en": Words(),
    "zh": Words(
        code="zh",
        other='<a href="?lang=en" lang="en">English</a>',
        api="API",
        version="版本",
        to_try="发送请求",
        machines="供机器使用",
        parameters="参数",
        body="请求体",
        answers="应答",
        schemas="数据结构",
        optional="可能没有",
        either=" 或 ",
        several="{} 的列表",
        anything="任意",
        limits=LIMITS_ZH,
    ),
}


def render(document: Json, language: str = "en", *, with_ui: bool = False) -> str:
    """The whole page, which lies one folder deeper than ``docs`` and ``openapi.json``."""
    say = WORDS[language]
    ui = f'{say.to_try}: <a href="../docs?lang={say.code}">Swagger UI</a>; ' if with_ui else ""
    info = document["info"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(
        f'<li><a href="#{o["operationId"]}"><code>{m.upper()} {escape(p)}</code></a> '
        f"{escape(o['summary'])}"
        for m, p, o in operations
    )
    schemas = document["components"]["schemas"]
    return (
        f'<!doctype html><html lang="{say.code}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}: {say.api}</title><style>{STYLE}</style><main>"
        f"<p>{say.other}<h1>{escape(info['title'])}: {say.api}</h1>{prose(info['description'])}"
        f"<p>{say.version} {escape(info['version'])}; {ui}"
        f'{say.machines}: <a href="../openapi.json">OpenAPI</a>.'
        f"<ul>{links}</ul>"
        + "".join(_operation(say, *each) for each in operations)
        + "".join(
            f"<section><h2>{escape(tag['name'])}</h2>{prose(tag['description'])}</section>"
            for tag in document["tags"]
        )
        + f"<section><h2>{say.schemas}</h2>"
        + "".join(_schema(say, name, schema) for name, schema in sorted(schemas.items()))
        + "</section></main></html>"
    )


def prose(text: str) -> str:
    """Paragraphs, lists of ``-``, fenced blocks and `code`: all that the descriptions use."""
    parts = []
    for n, part in enumerate(re.split(r"^```\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)):
        if n % 2:
            parts.append(f"<pre>{escape(part.rstrip())}</pre>")
            continue
        for block in filter(None, map(str.strip, part.split("\n\n"))):
            if block.startswith("- "):
                items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
                parts.append(f"<ul>{''.join(f'<li>{_inline(item)}' for item in items)}</ul>")
            else:
                parts.append(f"<p>{_inline(block)}")
    return "".join(parts)


def _inline(text: str) -> str:
    return re.sub(r"(`+)(.+?)\1", r"<code>\2</code>", escape(text, quote=False), flags=re.DOTALL)


def _sample(sample: Json) -> str:
    """The command is seen at once, the code of a language when it is asked for."""
    code = f"<pre>{escape(sample['source'])}</pre>"
    if sample["lang"] == "Shell":
        return code
    return f"<details><summary>{sample['lang']}</summary>{code}</details>"


def _operation(say: Words, method: str, path: str, operation: Json) -> str:
    parts = [
        f'<section id="{operation["operationId"]}">',
        f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>",
        f"<p><strong>{escape(operation['summary'])}</strong>",
        prose(operation.get("description", "")),
        *map(_sample, operation["x-codeSamples"]),
    ]
    if "parameters" in operation:
        rows = [
            (f"{p['name']} <small>({p['in']})</small>", p["schema"], p.get("description", ""))
            for p in operation["parameters"]
        ]
        parts.append(f"<h3>{say.parameters}</h3>{_table(say, rows)}")
    if "requestBody" in operation:
        ((kind, content),) = operation["requestBody"]["content"].items()
        parts.append(f"<h3>{say.body}</h3><p><code>{kind}</code>: {_type(say, content['schema'])}")
    parts.append(f"<h3>{say.answers}</h3><table>")
    for status, response in operation["responses"].items():
        contents = "".join(
            f"<p><code>{escape(kind)}</code>: {_type(say, content['schema'])}"
            for kind, content in response.get("content", {}).items()
        )
        parts.append(f"<tr><th>{status}<td>{prose(response['description'])}{contents}")
    return "".join(parts) + "</table></section>"


def _schema(say: Words, name: str, schema: Json) -> str:
    head = f'<h3 id="{name}"><code>{name}</code></h3>{prose(schema.get("description", ""))}'
    if "properties" not in schema:
        return f"{head}<p>{_type(say, schema)}"
    required = schema.get("required", ())
    rows = [
        (field if field in required else f"{field} <small>({say.optional})</small>", kind, "")
        for field, kind in schema["properties"].items()
    ]
    return head + _table(say, rows)


def _table(say: Words, rows: list[tuple[str, Json, str]]) -> str:
    parts = [
        f"<tr><th><code>{name}</code><td>{_type(say, kind)}"
        f"<td>{_inline(text or kind.get('description', ''))}"
        for name, kind, text in rows
    ]
    return f"<table>{''.join(parts)}</table>"


def _type(say: Words, schema: Json) -> str:
    """One line about a schema, with links to those that have a name."""
    match schema:
        case {"$ref": str(path)}:
            name = path.rpartition("/")[2]
            line = f'<a href="#{name}">{name}</a>'
        case {"allOf": [inner, *_]} | {"properties": {"data": inner}}:
            line = _type(say, inner)
        case {"anyOf": several}:
            line = say.either.join(_type(say, each) for each in several)
        case {"enum": values}:
            line = " ".join(map(_value, values))
        case {"const": value}:
            line = _value(value)
        case {"type": "array", "items": inner}:
            line = say.several.format(_type(say, inner))
        case _:
            line = _plain(say, schema)
    return line


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"<code>{escape(text)}</code>"


def _plain(say: Words, schema: Json) -> str:
    words = [schema.get("format") or schema.get("type", say.anything)]
    for limit, text in say.limits.items():
        if schema.get(limit) is not None and schema[limit] != "":
            words.append(text.format(f"<code>{escape(str(schema[limit]))}</code>"))
    return " ".join(words)
