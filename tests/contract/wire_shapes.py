"""The fields of the wire's types, in a form that the copies in other languages can be held against.

A type is the set of its alternatives, each a JSON schema without references: an enum is as many
constants, and what may be null has that as one alternative more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, get_args

from pydantic import TypeAdapter

Json = Mapping[str, Any]
SHOWN = ("type", "format", "minimum")  # of a schema; descriptions and patterns are no types


@dataclass(frozen=True)
class Field:
    """One field: whether it is always there, and what it can be."""

    required: bool
    types: frozenset[str]


Shape = dict[str, Field]


def alternatives(schema: Json, document: Json) -> Iterator[Json]:
    """What a value of the schema can be, one by one."""
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield from alternatives(target, document)
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from alternatives(each, document)
    elif "enum" in schema:
        yield from ({"const": value} for value in schema["enum"])
    elif "const" in schema:
        yield {"const": schema["const"]}
    elif isinstance(schema["type"], list):
        for kind in schema["type"]:
            of_another = {"null": ("items", "maxLength", "minLength")}.get(kind, ())
            yield {k: v for k, v in schema.items() if k not in of_another} | {"type": kind}
    else:
        yield schema


def shape_of(schema: Json, document: Json, spell: Callable[[Json, Json], str]) -> Shape:
    """The fields of an object, their types spelt in some language."""
    (whole,) = alternatives(schema, document)
    required = whole.get("required", ())
    return {
        name: Field(
            name in required,
            frozenset(spell(each, document) for each in alternatives(field, document)),
        )
        for name, field in whole["properties"].items()
    }


def shape(*kinds: Any, spell: Callable[[Json, Json], str]) -> Shape:
    """The fields of a value that is one of the types.

    It certainly has those that all of them have.
    """
    shapes = []
    for kind in kinds:
        schema = TypeAdapter(kind).json_schema()
        shapes.append(shape_of(schema, schema, spell))
    return {
        name: Field(
            all(name in each and each[name].required for each in shapes),
            frozenset().union(*(each[name].types for each in shapes if name in each)),
        )
        for name in {name: None for each in shapes for name in each}
    }


def json_schema(schema: Json, document: Json) -> str:
    """The alternative in one spelling, so that two documents can be compared."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "properties" in schema:
        fields = shape_of(schema, document, json_schema)
        return str({name: (f.required, sorted(f.types)) for name, f in sorted(fields.items())})
    if schema["type"] == "array":
        items = alternatives(schema["items"], document)
        return f"{sorted(json_schema(each, document) for each in items)}[]"
    return json.dumps({key: schema[key] for key in SHOWN if key in schema})


def typescript(schema: Json, document: Json) -> str:
    """The alternative in TypeScript."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema["type"] == "array":
        (items,) = alternatives(schema["items"], document)
        return f"{typescript(items, document)}[]"
    return {"integer": "number"}.get(schema["type"], schema["type"])


def python(schema: Json, document: Json) -> str:
    """The alternative in Python, where the client takes words for strings."""
    if "const" in schema:
        return type(schema["const"]).__name__
    if schema["type"] == "array":
        (items,) = alternatives(schema["items"], document)
        return f"list[{python(items, document)}]"
    if schema.get("format") == "date-time":
        return "datetime"
    names = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
    return names.get(schema["type"], "None")


def python_hint(hint: Any) -> frozenset[str]:
    """The alternatives of an annotation, spelt as :func:`python` does."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return frozenset(
        "None" if kind is NoneType else str(kind) if get_args(kind) else kind.__name__
        for kind in kinds
    )
